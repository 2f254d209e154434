"""cargo: https://doc.rust-lang.org/cargo/reference/config.html . Pure. Files in work trees are the repository's and are not read.

Where a registry keeps its files stands in its index, which is not asked; another host than the index's has to be added by hand.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from orchestrator.presets.side import Found, Setting, Side, plain_name, proxy_note

_PUBLIC = "crates-io"
_KIND = re.compile(r"(?:sparse|registry|git)\+")
_MOST_REPLACEMENTS = 20

_Table = Mapping[str, object]


def places(side: Side) -> tuple[Path, ...]:
    """The older name wins where both are there, so it comes last."""
    folder = side.folder("CARGO_HOME", ".cargo")
    return folder / "config.toml", folder / "config"


def read(side: Side, files: Mapping[Path, str], defaults: Sequence[str]) -> Found:
    table: _Table = {}
    shown, notes = "cargo's configuration", []
    for path, text in list(files.items())[-1:]:
        shown = side.shown(path)
        try:
            table = tomllib.loads(text)
        except (ValueError, RecursionError):
            notes.append(f"{shown} is no TOML that can be read; what it says does not count")
    sources = {name: _table(source) for name, source in _table(table.get("source")).items()}
    settings = list(_replaced(sources, shown))
    if _final(sources, _PUBLIC) == _PUBLIC and "registry" not in sources.get(_PUBLIC, {}):
        settings += [Setting(url, "cargo's default registry") for url in defaults]
    settings += _indexes(_table(table.get("registries")), sources, shown)
    for name, value in side.environ.items():
        if re.fullmatch(r"CARGO_REGISTRIES_[A-Z0-9_]+_INDEX", name) and value:
            settings.append(Setting(value, f"${name}"))
    if isinstance(_table(table.get("http")).get("proxy"), str):
        notes.append(proxy_note(f"http.proxy in {shown}"))
    plain = (Setting(_KIND.sub("", setting.url, count=1), setting.where) for setting in settings)
    return Found(tuple(dict.fromkeys(plain)), tuple(notes))


def _replaced(sources: Mapping[str, _Table], shown: str) -> Iterator[Setting]:
    """What takes the place of each source that is replaced, and of the public registry where it is written anew."""
    for start in sources:
        if start != _PUBLIC and "replace-with" not in sources[start]:
            continue
        name = _final(sources, start)
        source = sources.get(name, {})
        for key in ("registry", "git", "local-registry", "directory"):
            if isinstance(value := source.get(key), str):
                yield Setting(value if key in ("registry", "git") else f"file:{value}", f"source {plain_name(name)} in {shown}")


def _final(sources: Mapping[str, _Table], name: str) -> str:
    """Where the chain of ``replace-with`` that begins at ``name`` ends."""
    for _ in range(_MOST_REPLACEMENTS):
        further = sources.get(name, {}).get("replace-with")
        if not isinstance(further, str):
            break
        name = further
    return name


def _indexes(registries: _Table, sources: Mapping[str, _Table], shown: str) -> Iterator[Setting]:
    for name, registry in registries.items():
        index = _table(registry).get("index")
        if isinstance(index, str) and "replace-with" not in sources.get(name, {}):
            yield Setting(index, f"registry {plain_name(name)} in {shown}")


def _table(value: object) -> _Table:
    return value if isinstance(value, dict) else {}
