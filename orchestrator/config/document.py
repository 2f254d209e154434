"""One source of settings (a file, the variables, the flags) as a flat table of parsed values with their places."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NoReturn

from orchestrator.config.node import KIND_NAMES, Node, display, shown
from orchestrator.config.schema import GROUPS, KEYS, Key, expand
from orchestrator.config.values import BadValue, nearest
from orchestrator.errors import ConfigError

Form = Literal["task", "config", "policy"]
VERSION = "1"


@dataclass(frozen=True, slots=True)
class Given:
    """A value of one key as one source gave it. ``text`` shows it to people; ``where`` is file:line, a flag or a variable."""

    key: str
    value: object
    text: str
    where: str


@dataclass(frozen=True, slots=True)
class Document:
    """What one file sets. ``locked`` are the keys that a policy file keeps to itself."""

    source: str
    values: Mapping[str, Given]
    locked: frozenset[str]


def read_document(data: bytes, source: str, form: Form) -> Document:
    """A task file, a configuration file, or the organisation's policy (the only one with ``locked``).

    Raises:
        ConfigError: with file, line, key and, where there is one, the nearest valid choice.
    """
    from orchestrator.config.yamlfile import parse_yaml  # a start without any file does not need the library

    root = parse_yaml(data, source)
    if root.kind not in ("map", "nothing"):
        _refuse(source, root.line, "", BadValue(f"expected a map of settings, found {KIND_NAMES[root.kind]}"))
    extra = ("version", "locked") if form == "policy" else ("version",)
    _check_version(root, source, form)
    found: dict[str, Given] = {}
    locked: frozenset[str] = frozenset()
    for name, node in root.members:
        if name == "locked" and "locked" in extra:
            locked = _locked_keys(node, source)
        elif name in GROUPS:
            found |= _group(name, node, source)
        elif name in KEYS and "." not in name:
            found[name] = _given(KEYS[name], node, source)
        elif name != "version":
            _refuse_unknown(source, node, name, (*extra, *(top for top in KEYS if "." not in top), *GROUPS))
    return Document(source, found, locked)


def given(key: Key, node: Node, where: str) -> Given:
    """One value from the command line or a variable.

    Raises:
        ConfigError: the value is bad; the message begins with ``where``.
    """
    try:
        return Given(key.name, key.parse(node), display(node) if key.merge != "map" else _names_only(key.parse(node)), where)
    except BadValue as problem:
        raise ConfigError(f"{where}: {problem}", remedy=problem.remedy) from problem


def _given(key: Key, node: Node, source: str) -> Given:
    try:
        return Given(key.name, key.parse(node), display(node), f"{source}:{node.line}")
    except BadValue as problem:
        _refuse(source, node.line, key.name, problem)


def _names_only(pairs: object) -> str:
    names = [str(pair[0]) for pair in pairs] if isinstance(pairs, tuple) else []
    return "{" + ", ".join(names) + "}"


def _group(group: str, node: Node, source: str) -> dict[str, Given]:
    inner = {name.partition(".")[2]: KEYS[name] for name in GROUPS[group]}
    if node.kind != "map":
        found = KIND_NAMES[node.kind] if node.kind in ("nothing", "list") else shown(node.text)
        _refuse(source, node.line, group, BadValue(f"expected a map with {', '.join(inner)}, found {found}", _group_hint(group, node)))
    values = {}
    for name, member in node.members:
        if name not in inner:
            _refuse_unknown(source, member, f"{group}.{name}", [f"{group}.{choice}" for choice in inner])
        values[f"{group}.{name}"] = _given(inner[name], member, source)
    return values


def _group_hint(group: str, node: Node) -> str:
    """``network: none`` most likely means ``network: {mode: none}``."""
    for name in GROUPS[group]:
        if node.kind in ("text", "truth") and (name.endswith(".mode") or (name.endswith(".devcontainer") and node.text == "auto")):
            return f"write {group}: {{{name.partition('.')[2]}: {shown(node.text)}}}"
    return f"write {group}: {{{GROUPS[group][0].partition('.')[2]}: ...}}, or leave the line out"


def _check_version(root: Node, source: str, form: Form) -> None:
    node = dict(root.members).get("version")
    if node is None:
        if form == "task":
            _refuse(source, max(root.line, 1), "version", BadValue("is missing", f"begin the file with version: {VERSION}"))
        return
    if node.kind != "integer" or node.text != VERSION:
        found = shown(node.text) if node.text else KIND_NAMES[node.kind]
        _refuse(source, node.line, "version", BadValue(f"expected {VERSION}, found {found}", f"this aienv reads version {VERSION} only"))


def _locked_keys(node: Node, source: str) -> frozenset[str]:
    if node.kind != "list":
        _refuse(source, node.line, "locked", BadValue(f"expected a list of keys, found {KIND_NAMES[node.kind]}", "write locked: [docker]"))
    keys: set[str] = set()
    for item in node.items:
        try:
            keys |= set(expand(item.text if item.kind == "text" else ""))
        except BadValue as problem:
            _refuse(source, item.line, "locked", problem)
    return frozenset(keys)


def _refuse_unknown(source: str, node: Node, name: str, choices: tuple[str, ...] | list[str]) -> NoReturn:
    top, dot, rest = name.partition(".")
    if dot and name in KEYS:
        _refuse(source, node.line, name, BadValue("unknown key with a dot", f"write {top}: {{{rest}: ...}}"))
    hint = nearest(name, choices) or _elsewhere(name)
    _refuse(source, node.line, shown(name), BadValue(f"unknown key{hint}", f"valid here: {', '.join(choices)}"))


def _elsewhere(name: str) -> str:
    """``memory`` at the top most likely means ``limits.memory``: of several groups with such a key, the first."""
    last = name.rpartition(".")[2]
    found = [key for key in KEYS if key.rpartition(".")[2] == last] or [key for key in GROUPS if key == last]
    if not found:  # "memroy": near the last part of a key
        by_last = {key.rpartition(".")[2]: key for key in reversed(list(KEYS))}
        close = difflib.get_close_matches(last[:80].lower(), by_last, n=1, cutoff=0.7)
        found = [by_last[close[0]]] if close else []
    return f", perhaps {found[0]!r}?" if found else nearest(name, KEYS)


def _refuse(source: str, line: int, path: str, problem: BadValue) -> NoReturn:
    raise ConfigError(f"{source}:{line}: {path + ': ' if path else ''}{problem}", remedy=problem.remedy) from problem
