"""A member more in a text of JSON with comments, all else of it as it was: comments, order, blanks. Pure.

The text is read by ``jsonc`` first; here it is only cut into pieces with their positions, and it is known to be well formed.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.devcontainer.jsonc import BadJson, Json, parse
from orchestrator.errors import ConfigError

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/|[{}\[\],:]|[^\s{}\[\],:"/]+', re.DOTALL)
_MARK = "\ufeff"


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Member:
    """``at``: where its key stands. ``start``, ``end``: of the value."""

    key: str
    at: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Object:
    """``open``, ``close``: positions of the brackets; ``comma``: one stands after the last member."""

    open: int
    close: int
    members: tuple[_Member, ...]
    comma: bool


def with_features(text: str, features: Mapping[str, Json], source: str) -> str:
    """``text`` with ``features`` among its own; one that is there already gets the new options.

    Raises:
        ConfigError: the text is no JSON object, or its ``features`` is none.
    """
    if not features:
        return text
    root = _read(text, source)
    own = root.get("features")
    if own is not None and not isinstance(own, dict):
        raise ConfigError(f"{source}: features is no object")
    if own is None:
        return put(text, (), "features", dict(features))
    for name, options in features.items():
        text = put(text, ("features",), name, options)
    return text


def put(text: str, path: Sequence[str], key: str, value: Json) -> str:
    """``text`` with ``key`` in the object at ``path`` being ``value``. The text is well formed, and there is such an object."""
    if text.startswith(_MARK):
        return _MARK + put(text[1:], path, key, value)
    pieces = _pieces(text)
    found = _object(pieces, 0)
    for name in path:
        member = _last(found, name)
        assert member is not None
        found = _object(pieces, next(number for number, piece in enumerate(pieces) if piece.start == member.start))
    before, unit, line = _last(found, key), _unit(text, pieces), "\r\n" if "\r\n" in text else "\n"
    if before is not None:
        return text[: before.start] + _shown(value, _indent_at(text, before.start), unit, line) + text[before.end :]
    if "\n" not in text[found.open : found.close] and (path or found.members):
        return _inline(text, found, f"{_json(key)}: {_json(value)}")
    inner = _margin(text, found)
    if inner is None:
        inner = _indent_at(text, found.open) + unit
    return _on_its_line(text, found, f"{_json(key)}: {_shown(value, inner, unit, line)}", inner, line)


def _read(text: str, source: str) -> Mapping[str, Json]:
    try:
        value = parse(text).value
    except BadJson as problem:
        raise ConfigError(f"{source}:{problem.place.line}:{problem.place.column}: {problem.reason}") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{source} is no JSON object")
    return value


def _inline(text: str, found: _Object, member: str) -> str:
    if not found.members:
        return text[: found.close].rstrip(" \t") + member + text[found.close :]
    at = found.members[-1].end
    if found.comma:
        at = text.index(",", _after_comments(text, at)) + 1
        return f"{text[:at]} {member}{text[at:]}"
    return f"{text[:at]}, {member}{text[at:]}"


def _on_its_line(text: str, found: _Object, member: str, inner: str, line: str) -> str:
    """Before the closing bracket, behind whatever comment stands there: it belongs to what is before it."""
    head = text[: found.close].rstrip(" \t\r\n")
    gap = text[len(head) : found.close]
    if "\n" not in gap:
        gap = line + _indent_at(text, found.open)
    if found.members and not found.comma:
        at = found.members[-1].end
        head = f"{head[:at]},{head[at:]}"
    return head + line + inner + member + gap + text[found.close :]


def _after_comments(text: str, at: int) -> int:
    """Where the next piece that is no comment begins."""
    return next(piece.start for piece in _all(text, at) if not piece.text.startswith("/"))


def _shown(value: Json, margin: str, unit: str, line: str) -> str:
    return _json(value, unit).replace("\n", line + margin)


def _json(value: Json, unit: str | None = None) -> str:
    """In its own letters, where they are letters: half of a pair can only be written as an escape."""
    text = json.dumps(value, indent=unit, ensure_ascii=False)
    return text if text.encode("utf-8", "replace").decode() == text else json.dumps(value, indent=unit)


def _last(found: _Object, key: str) -> _Member | None:
    """Of a key that stands twice the later one counts."""
    return next((member for member in reversed(found.members) if member.key == key), None)


def _object(pieces: Sequence[_Piece], number: int) -> _Object:
    """The one whose bracket is the piece ``number``."""
    start = pieces[number].start
    members: list[_Member] = []
    comma = False
    number += 1
    while pieces[number].text != "}":
        key, first = json.loads(pieces[number].text), number + 2
        last = _end_of_value(pieces, first)
        members.append(_Member(key, pieces[number].start, pieces[first].start, pieces[last].end))
        number = last + 1
        comma = pieces[number].text == ","
        number += comma
    return _Object(start, pieces[number].start, tuple(members), comma)


def _end_of_value(pieces: Sequence[_Piece], number: int) -> int:
    """The number of its last piece."""
    depth = 0
    while True:
        depth += (pieces[number].text in ("{", "[")) - (pieces[number].text in ("}", "]"))
        if depth == 0:
            return number
        number += 1


def _pieces(text: str) -> list[_Piece]:
    return [piece for piece in _all(text, 0) if not piece.text.startswith("/")]


def _all(text: str, at: int) -> list[_Piece]:
    return [_Piece(match[0], match.start(), match.end()) for match in _TOKEN.finditer(text, at)]


def _margin(text: str, found: _Object) -> str | None:
    """What stands before the last member on its line; None if that line has something else before it."""
    if not found.members:
        return None
    at = found.members[-1].at
    margin = text[text.rfind("\n", 0, at) + 1 : at]
    return margin if not margin.strip(" \t") else None


def _indent_at(text: str, at: int) -> str:
    """The blanks that its line begins with."""
    before = text[text.rfind("\n", 0, at) + 1 : at]
    return before[: len(before) - len(before.lstrip(" \t"))]


def _unit(text: str, pieces: Sequence[_Piece]) -> str:
    """One step to the right, as the file's own first member shows it."""
    first = _indent_at(text, pieces[1].start) if len(pieces) > 2 else ""
    return first or "\t"
