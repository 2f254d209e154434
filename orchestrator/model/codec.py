"""Dataclasses to canonical JSON and back, with a digest.

Canonical means: keys sorted, no blanks, UTF-8, no NaN. Two equal values give the same bytes, so a digest
over them identifies the value.
"""

import hashlib
import json
import types
import typing
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")
_SCALARS = frozenset([str, int, bool, float])  # most of what there is


def to_plain(value: object) -> Any:
    """Dataclasses become dicts, tuples become lists; everything else must be JSON already."""
    if value is None or type(value) in _SCALARS:
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    return value


def canonical_json(value: object) -> bytes:
    """The one byte string that stands for ``value``."""
    text = json.dumps(to_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    # A byte of a file name that is no UTF-8 becomes a JSON escape, "\\udce9": still JSON, and the same byte when it is read back.
    return text.encode("utf-8", "backslashreplace")


def digest(value: object) -> str:
    """``sha256:<hex>`` over the canonical JSON of ``value``."""
    return "sha256:" + hashlib.sha256(canonical_json(value)).hexdigest()


def from_plain(kind: type[T], plain: object, where: str = "$") -> T:
    """Rebuild a dataclass from parsed JSON, checking every member.

    Raises:
        ValueError: a member is missing, unknown or of another type; the message names its path.
    """
    return cast(T, _decode(kind, plain, where))


def _decode(kind: Any, plain: Any, where: str) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any or kind is object:
        return plain
    if origin is typing.Literal:
        return _expect(plain in args, plain, where, f"one of {args}")
    if origin in (Union, types.UnionType):
        return _decode_union(args, plain, where)
    if origin is tuple:
        items = _expect(isinstance(plain, list), plain, where, "a list")
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_decode(args[0], item, f"{where}[{i}]") for i, item in enumerate(items))
        _expect(len(items) == len(args), plain, where, f"a list of {len(args)}")
        return tuple(_decode(arg, item, f"{where}[{i}]") for i, (arg, item) in enumerate(zip(args, items, strict=True)))
    if origin is dict:
        members = _expect(isinstance(plain, dict), plain, where, "an object")
        return {key: _decode(args[1], item, f"{where}.{key}") for key, item in members.items()}
    if is_dataclass(kind):
        return _decode_dataclass(cast(type, kind), plain, where)
    if kind is float:
        number = _expect(isinstance(plain, (int, float)) and not isinstance(plain, bool), plain, where, "a number")
        try:
            return float(number)
        except OverflowError:
            raise ValueError(f"{where}: a number of that size is none of ours") from None
    if kind is int:
        return _expect(isinstance(plain, int) and not isinstance(plain, bool), plain, where, "an integer")
    return _expect(isinstance(plain, kind), plain, where, kind.__name__)


def _decode_union(options: tuple[Any, ...], plain: Any, where: str) -> Any:
    if plain is None and type(None) in options:
        return None
    problems = []
    for option in options:
        if option is type(None):
            continue
        try:
            return _decode(option, plain, where)
        except ValueError as problem:
            problems.append(str(problem))
    raise ValueError("; ".join(problems) or f"{where}: unexpected {plain!r}")


def _decode_dataclass(kind: type, plain: Any, where: str) -> Any:
    members = _expect(isinstance(plain, dict), plain, where, "an object")
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    unknown, missing = set(members) - set(names), set(names) - set(members)
    if unknown or missing:
        raise ValueError(f"{where}: unknown {sorted(unknown)}, missing {sorted(missing)}")
    return kind(**{name: _decode(hints[name], members[name], f"{where}.{name}") for name in names})


def _expect(condition: bool, plain: Any, where: str, wanted: str) -> Any:
    if not condition:
        raise ValueError(f"{where}: expected {wanted}, found {type(plain).__name__}")
    return plain
