"""Presets by name to rows of the allow list, at launch. Reads the files of package managers; starts none of them.

What cannot be read or used is a warning with the way out, never a failure: one bad line of a file must not stop a run.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from orchestrator.config.values import nearest
from orchestrator.egress.rules import parse_rule
from orchestrator.errors import ConfigError
from orchestrator.model.network import NetRule
from orchestrator.presets import apt, cargo, facts, go, maven, npm, pip
from orchestrator.presets.side import Found, Side
from orchestrator.presets.urls import BadUrl, rule_of

MAX_FILE_BYTES = 1 << 20
MAX_FILES = 200  # of one folder


class _Client(NamedTuple):
    places: Callable[[Side], tuple[Path, ...]]
    read: Callable[[Side, Mapping[Path, str], Sequence[str]], Found]


_CLIENTS: Mapping[str, _Client] = {
    "apt": _Client(apt.places, apt.read),
    "cargo": _Client(cargo.places, cargo.read),
    "go": _Client(go.places, go.read),
    "maven": _Client(maven.places, maven.read),
    "npm": _Client(npm.places, npm.read),
    "pip": _Client(pip.places, pip.read),
}
_PROGRAMS = ("node", "go", "mvn")  # beside these lie files of configuration


@dataclass(frozen=True, slots=True)
class Resolved:
    """``rules``: in the order of the names, each host and port once per preset. ``warnings``: one line each, for the user."""

    rules: tuple[NetRule, ...]
    warnings: tuple[str, ...]


def known() -> tuple[str, ...]:
    """The names of all presets, without aliases."""
    return tuple(facts.presets())


def resolve(names: Iterable[str], environ: Mapping[str, str], home: Path, cwd: Path, root: Path = Path("/")) -> Resolved:
    """The rows and warnings of the presets ``names``. ``root``: where the machine's own files lie.

    Rows of package managers may lead to private addresses, as companies' mirrors do; those of services may not.

    Raises:
        ConfigError: there is no such preset.
    """
    side = Side(environ, home, cwd, _programs(environ), root)
    rules: list[NetRule] = []
    warnings: list[str] = []
    for name in dict.fromkeys(_canonical(word) for word in names):
        preset = facts.presets()[name]
        if name in _CLIENTS:
            of_client, notes = _of_client(preset, _CLIENTS[name], side)
            rules += of_client
            warnings += notes
        rules += [parse_rule(item, f"preset {name}") for fact in preset.allow for item in fact.items]
    return Resolved(tuple(rules), tuple(dict.fromkeys(warnings)))


def npm_settings(environ: Mapping[str, str], home: Path, cwd: Path, root: Path = Path("/")) -> tuple[dict[str, str], str, tuple[str, ...]]:
    """The user's npm settings by key, passwords among them; npm's own registry; and warnings about files that cannot be read."""
    side = Side(environ, home, cwd, _programs(environ), root)
    files, problems = _read_all(npm.places(side), side)
    defaults = facts.presets()["npm"].defaults
    values = {key: one.url for key, one in npm.values(side, files).items()}
    return values, defaults.items[0] if defaults else "", tuple(map(_line, problems))


def _canonical(word: str) -> str:
    if word not in facts.names():
        hint = nearest(word, facts.names())
        raise ConfigError(f"unknown preset {word[:80]!a}{hint}", remedy=f"choose from {', '.join(known())}")
    return facts.names()[word]


def _of_client(preset: facts.Preset, client: _Client, side: Side) -> tuple[list[NetRule], list[str]]:
    files, problems = _read_all(client.places(side), side)
    found = client.read(side, files, preset.defaults.items if preset.defaults else ())
    rules: dict[tuple[str, tuple[int, ...]], NetRule] = {}
    warnings = [*problems, *found.notes]
    for setting in found.settings:
        try:
            rule = rule_of(setting, preset.name)
        except BadUrl as problem:
            warnings.append(str(problem))
            continue
        more = preset.leads_to[rule.host].items if rule.host in preset.leads_to else ()
        origin = f"preset {preset.name}: {rule.host} leads there"
        for one in (rule, *(parse_rule(item, origin, private=True) for item in more)):
            rules.setdefault((one.host, one.ports), one)
    return list(rules.values()), [_line(f"preset {preset.name}: {warning}") for warning in warnings]


def _line(text: str) -> str:
    """Names of files and keys may hold anything; a warning is one line of a terminal."""
    return text if text.isprintable() else ascii(text)[1:-1]


def _programs(environ: Mapping[str, str]) -> dict[str, Path]:
    found = {name: shutil.which(name, path=environ.get("PATH", os.defpath)) for name in _PROGRAMS}
    return {name: Path(os.path.realpath(path)) for name, path in found.items() if path}


def _read_all(places: Sequence[Path], side: Side) -> tuple[dict[Path, str], list[str]]:
    """The texts of the files that are there, in order, and why others could not be read."""
    texts: dict[Path, str] = {}
    problems = []
    for path in dict.fromkeys(one for place in places for one in _expanded(place)):
        try:
            text = _text(path)
        except (OSError, ValueError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else str(problem)
            problems.append(f"{side.shown(path)} cannot be read: {reason}; what it says does not count")
            continue
        if text is not None:
            texts[path] = text
    return texts, problems


def _expanded(place: Path) -> list[Path]:
    if "*" not in place.name:
        return [place]
    try:
        return sorted(place.parent.glob(place.name))[:MAX_FILES]
    except OSError:
        return []


def _text(path: Path) -> str | None:
    """None: there is no such file. Nothing but a plain file is opened for good, so that no pipe makes the launch wait.

    Raises:
        OSError, ValueError: it is there and cannot be read; the text says why.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no plain file")
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"it is larger than {MAX_FILE_BYTES >> 10} KiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is no UTF-8 text") from None
