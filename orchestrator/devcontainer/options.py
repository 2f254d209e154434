"""The reference CLI's way with words of the command line: ``--name value``, ``--name=value``, ``--nameInHumps``. Pure.

A switch takes a following ``true`` or ``false``; there is no ``--no-name``. Unlike there a value is never left out by accident: an
option without its value, or given twice, is an error.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.errors import UsageError

Value = str | bool | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Option:
    """``kind``: what its value is; ``many``: may stand several times. ``unused``: why it changes nothing here, for a note."""

    kind: Literal["text", "switch", "number"]
    help: str
    choices: tuple[str, ...] = ()
    many: bool = False
    default: bool = False
    unused: str = ""


@dataclass(frozen=True, slots=True)
class Parsed:
    """``given``: in the order of the table; ``notes``: options that have no meaning here."""

    given: Mapping[str, Value]
    notes: tuple[str, ...]

    def text(self, name: str) -> str | None:
        """None also for an empty one, which counts as not given."""
        value = self.given[name]
        return value if isinstance(value, str) and value else None

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.given[name]
        return value if isinstance(value, tuple) else ()

    def switch(self, name: str) -> bool:
        return self.given[name] is True


def parse(words: Sequence[str], options: Mapping[str, Option]) -> Parsed:
    """
    Raises:
        UsageError: a word that no option accounts for, or a value that its option does not take.
    """
    found: dict[str, list[str | bool]] = {}
    rest = list(words)
    while rest:
        name, equals, given = rest.pop(0).partition("=")
        option = options.get(key := _key(name))
        if not name.startswith("--") or option is None:
            raise UsageError(f"Unknown argument: {name}{_perhaps(key, options)}")
        value: str | bool | None = given if equals else None
        if value is None and option.kind == "switch":
            value = rest.pop(0) if rest and rest[0] in ("true", "false") else "true"
        if value is None:
            if not rest or rest[0].startswith("--"):
                raise UsageError(f"--{key} has no value")
            value = rest.pop(0)
        found.setdefault(key, []).append(_value(key, option, str(value)))
    return Parsed({name: _final(name, option, found.get(name, [])) for name, option in options.items()}, _notes(found, options))


def _key(word: str) -> str:
    """``--logLevel`` is ``--log-level``."""
    return re.sub(r"[A-Z]", lambda match: f"-{match[0].lower()}", word.removeprefix("--"))


def _value(name: str, option: Option, text: str) -> str | bool:
    if option.kind == "switch":
        if text not in ("true", "false"):
            raise UsageError(f"--{name} is true or false, not {text!r}")
        return text == "true"
    if option.kind == "number" and not re.fullmatch(r"[0-9]{1,6}", text, re.ASCII):
        raise UsageError(f"--{name} is a number, not {text!r}")
    if option.choices and text not in option.choices:
        raise UsageError(f"--{name} is one of {', '.join(option.choices)}, not {text!r}")
    return text


def _final(name: str, option: Option, values: Sequence[str | bool]) -> Value:
    if option.many:
        return tuple(str(value) for value in values)
    if len(values) > 1:
        raise UsageError(f"--{name} is given twice")
    if values:
        return values[0]
    return option.default if option.kind == "switch" else None


def _notes(found: Mapping[str, object], options: Mapping[str, Option]) -> tuple[str, ...]:
    return tuple(f"--{name} changes nothing here: {options[name].unused}" for name in found if options[name].unused)


def _perhaps(name: str, options: Mapping[str, Option]) -> str:
    close = difflib.get_close_matches(name, options, n=1)
    return f", perhaps --{close[0]}?" if close else ""


_NO_TERMINAL = "nothing that is run has a terminal"

READ_CONFIGURATION: Mapping[str, Option] = {
    "workspace-folder": Option("text", "The folder.  [default: here, unless --container-id or --id-label is given]"),
    "config": Option("text", "Its file.  [default: .devcontainer/devcontainer.json or .devcontainer.json]"),
    "override-config": Option("text", "A file to read in place of that one."),
    "container-id": Option("text", "The container to look at.  [default: the one of the folder]"),
    "id-label": Option("text", "A label NAME=VALUE by which the container is found; may be repeated.", many=True),
    "include-merged-configuration": Option("switch", "Add what image, container and features bring."),
    "include-features-configuration": Option("switch", "Add the features, resolved."),
    "additional-features": Option("text", "More features, as a JSON object."),
    "mount-workspace-git-root": Option("switch", "Mount the work tree around the folder.  [default: true]", default=True),
    "mount-git-worktree-common-dir": Option("switch", "Mount the repository of a linked work tree, too."),
    "docker-path": Option("text", "The docker command."),
    "docker-compose-path": Option("text", "The docker-compose command, where docker has no compose."),
    "log-level": Option("text", "What goes to standard error.", choices=("info", "debug", "trace")),
    "log-format": Option("text", "How it is written.", choices=("text", "json")),
    "terminal-columns": Option("number", "Width.", unused=_NO_TERMINAL),
    "terminal-rows": Option("number", "Height.", unused=_NO_TERMINAL),
    "user-data-folder": Option("text", "A folder for data that last.", unused="nothing is kept between commands"),
    "skip-feature-auto-mapping": Option("switch", "For tests of the reference.", unused="names without a registry are never mapped"),
    "oci-auth-hardening": Option("switch", "Be strict with registries.", unused="credentials go to the registry's own host in any case"),
    "allow-cross-origin-auth-host": Option("text", "A registry's other host.", many=True, unused="registries have no exceptions here"),
}
