"""Strict YAML: a tree of nodes with their places, or an error that names file, line and key.

Strict means the JSON-like part of YAML 1.2: maps with unique text keys, lists, plain scalars. What can surprise a reader or
cost more than its own size is refused: anchors, aliases, tags, several documents, deep nesting. ``yes`` is text, ``1:30`` too.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NoReturn, cast

import yaml
from yaml.composer import Composer
from yaml.error import Mark
from yaml.events import AliasEvent, Event
from yaml.nodes import MappingNode, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from orchestrator.config.node import SIZE_LIMIT_BYTES, Kind, Node, shown
from orchestrator.errors import ConfigError

DEPTH_LIMIT = 12
NODE_LIMIT = 20_000  # a file of the full size in one-character items would take the parser many seconds

_CORE = "tag:yaml.org,2002:"
_PATTERNS: Sequence[tuple[str, Kind, str, str]] = (
    ("null", "nothing", r"~|null|Null|NULL|", "~nN"),
    ("bool", "truth", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", "integer", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", "number", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+0123456789."),
)
_KINDS: dict[str, Kind] = {_CORE + "str": "text", **{_CORE + tag: kind for tag, kind, _, _ in _PATTERNS}}
_SCALARS = {_CORE + tag: re.compile(pattern, re.ASCII) for tag, _, pattern, _ in _PATTERNS}


class _Refused(yaml.MarkedYAMLError):
    """A construct that we do not read."""


class _Resolver(BaseResolver):
    """Plain scalars by the YAML 1.2 core schema."""


for _tag, _kind, _pattern, _first in _PATTERNS:
    _Resolver.add_implicit_resolver(_CORE + _tag, re.compile(rf"(?:{_pattern})\Z", re.ASCII), [*_first, *([""] if _tag == "null" else [])])


class _Loader(Reader, Scanner, Parser, Composer, _Resolver):
    """PyYAML up to ``compose``: no constructor, so nothing is ever built from a tag."""

    def __init__(self, stream: str, aliases: bool) -> None:
        Reader.__init__(self, stream)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        _Resolver.__init__(self)
        self.aliases = aliases
        self.depth = 0
        self.count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = cast(Event, self.peek_event())  # type: ignore[no-untyped-call]
        mark = cast(Mark, event.start_mark)
        if not self.aliases and (isinstance(event, AliasEvent) or getattr(event, "anchor", None) is not None):
            raise _Refused(problem="anchors and aliases (& and *) are not supported", problem_mark=mark)
        self.depth, self.count = self.depth + 1, self.count + 1
        if self.depth > DEPTH_LIMIT:
            raise _Refused(problem=f"nested deeper than {DEPTH_LIMIT} levels", problem_mark=mark)
        if self.count > NODE_LIMIT:
            raise _Refused(problem=f"more than {NODE_LIMIT} values", problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def parse_yaml(data: bytes, source: str, *, aliases: bool = False) -> Node:
    """The one document in ``data``; an empty file is ``nothing``. ``source`` names the file in messages.

    ``aliases``: for files of other programs: an alias stands for a copy of its node, and the limits hold for the whole with its copies.

    Raises:
        ConfigError: the file is not strict YAML; the message begins ``source:line:``.
    """
    text = _decode(data, source)
    loader = _Loader(text, aliases)
    try:
        document = loader.get_single_node()
        if aliases and document is not None:
            _judge_copies(document)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        words = " ".join(part for part in (problem.context, problem.problem) if part) or "cannot be read"
        _refuse(source, mark.line + 1 if mark else 1, "", words)
    except yaml.YAMLError as problem:
        _refuse(source, 1, "", " ".join(str(problem).split())[:200])
    except ValueError:  # an escape such as "\U00110000" that names no character
        _refuse(source, loader.get_mark().line + 1, "", "an escape names a character that does not exist")
    finally:
        loader.dispose()
    return Node("nothing", line=1) if document is None else _convert(document, source, "")


def _decode(data: bytes, source: str) -> str:
    if len(data) > SIZE_LIMIT_BYTES:
        _refuse(source, 1, "", f"is larger than {SIZE_LIMIT_BYTES // 1024} KiB")
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as problem:
        _refuse(source, data.count(b"\n", 0, problem.start) + 1, "", "is not valid UTF-8")
    odd = Reader.NON_PRINTABLE.search(text)
    if odd:
        _refuse(source, text.count("\n", 0, odd.start()) + 1, "", f"holds the character U+{ord(odd[0]):04X}, which YAML does not allow")
    return text


def _judge_copies(document: Any) -> None:
    """A few lines of aliases can stand for more values than there is memory, or for themselves."""
    waiting, count = [(document, 1)], 0
    while waiting:
        node, depth = waiting.pop()
        count += 1
        if depth > DEPTH_LIMIT or count > NODE_LIMIT:
            limit = f"nested deeper than {DEPTH_LIMIT} levels" if depth > DEPTH_LIMIT else f"more than {NODE_LIMIT} values"
            raise _Refused(problem=f"with its aliases {limit}", problem_mark=node.start_mark)
        if isinstance(node, MappingNode):
            waiting += [(part, depth + 1) for pair in node.value for part in pair]
        elif isinstance(node, SequenceNode):
            waiting += [(part, depth + 1) for part in node.value]


def _convert(node: Any, source: str, path: str) -> Node:
    line, column = node.start_mark.line + 1, node.start_mark.column + 1
    if isinstance(node, ScalarNode):
        return Node(_scalar_kind(node, source, path), text=cast(str, node.value), line=line, column=column)
    if isinstance(node, SequenceNode) and node.tag == _CORE + "seq":
        items = tuple(_convert(item, source, path) for item in node.value)
        return Node("list", items=items, line=line, column=column)
    if isinstance(node, MappingNode) and node.tag == _CORE + "map":
        return Node("map", members=_members(node, source, path), line=line, column=column)
    return _refuse(source, line, path, f"the tag {shown(str(node.tag))} is not supported")


def _scalar_kind(node: ScalarNode, source: str, path: str) -> Kind:
    line = node.start_mark.line + 1
    if node.tag not in _KINDS:
        _refuse(source, line, path, f"the tag {shown(str(node.tag))} is not supported")
    if node.tag in _SCALARS and not _SCALARS[node.tag].fullmatch(node.value):
        _refuse(source, line, path, f"{shown(node.value)} does not fit its tag")
    if "\0" in node.value or any("\ud800" <= char <= "\udfff" for char in node.value):
        _refuse(source, line, path, "holds a NUL character or half of a surrogate pair")
    return _KINDS[node.tag]


def _members(node: MappingNode, source: str, path: str) -> tuple[tuple[str, Node], ...]:
    first_lines: dict[str, int] = {}
    members = []
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, ScalarNode) or _scalar_kind(key, source, path) != "text":
            text = shown(str(key.value)) if isinstance(key, ScalarNode) else "this one"
            _refuse(source, line, path, f"a key must be text, and {text} is not", "quote it")
        name = cast(str, key.value)
        inner = f"{path}.{shown(name)}" if path else shown(name)
        if name in first_lines:
            _refuse(source, line, inner, f"given twice, first on line {first_lines[name]}")
        first_lines[name] = line
        # A map below its key starts on the next line; people look for the key.
        members.append((name, replace(_convert(value, source, inner), line=line)))
    return tuple(members)


def _refuse(source: str, line: int, path: str, problem: str, remedy: str | None = None) -> NoReturn:
    raise ConfigError(f"{source}:{line}: {path + ': ' if path else ''}{problem}", remedy=remedy)
