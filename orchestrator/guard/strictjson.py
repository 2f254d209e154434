"""JSON that has one reading, or none. Pure.

The daemon's decoder merges duplicate objects, ignores what follows the first value, and mends bad text (all measured): a document of
which two readers could think differently is refused here, and what goes on is written anew.
"""

import json
import math
import re
from collections.abc import Iterable
from typing import Literal, cast, overload

from orchestrator.guard.calls import Json, Object, deny

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
INT64 = range(-(1 << 63), 1 << 63)
_MAX_DIGITS = 20  # of int64, with its sign; longer ones are not even converted

_STRUCTURE = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_BLANKS = b" \t\r\n"


@overload
def parse(data: bytes, *, any_top: Literal[False] = False) -> Object: ...
@overload
def parse(data: bytes, *, any_top: bool) -> Json: ...
def parse(data: bytes, *, any_top: bool = False) -> Json:
    """The one document in ``data``: an object, unless ``any_top``. No key comes twice in an object; texts are Unicode without surrogates;
    integers fit into 64 bits; a number with a point or an exponent is a float.

    Raises:
        Denied: anything else.
    """
    if len(data) > MAX_BYTES:
        raise deny("json.size", f"the document has {len(data)} bytes", allowed=f"{MAX_BYTES} bytes", status=413)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise _refused("utf8", "the document is not UTF-8") from None
    _check_depth(data)
    try:
        value, end = _DECODER.raw_decode(text, len(text) - len(text.lstrip(" \t\r\n")))
    except (json.JSONDecodeError, RecursionError):
        raise _refused("syntax", "the document is not JSON") from None
    if text[end:].strip(" \t\r\n"):
        raise _refused("trailing", "something follows the document")
    if not any_top and not isinstance(value, dict):
        raise _refused("top", "the document is not an object")
    try:
        encode(value)
    except UnicodeEncodeError:
        raise _refused("surrogate", "a text holds half a character (a lone surrogate)") from None
    return cast(Json, value)


def encode(value: Json) -> bytes:
    """The canonical form: keys sorted, nothing between the parts. Raises ValueError for what JSON cannot say."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()


def _check_depth(data: bytes) -> None:
    """Before anything is parsed: the parser calls itself."""
    depth = 0
    for match in _STRUCTURE.finditer(data):
        mark = match[0]
        if mark in (b"{", b"["):
            depth += 1
            if depth > MAX_DEPTH:
                raise _refused("depth", f"the document is nested more than {MAX_DEPTH} deep")
        elif mark in (b"}", b"]"):
            depth -= 1


def _object(pairs: Iterable[tuple[str, Json]]) -> Object:
    found: Object = {}
    for key, value in pairs:
        if key in found:
            raise _refused("duplicate", f"the key {key[:80]!r} comes twice in one object")
        found[key] = value
    return found


def _integer(digits: str) -> int:
    number = int(digits) if len(digits) <= _MAX_DIGITS else 1 << 64
    if number not in INT64:
        raise _refused("number", f"the number {digits[:24]!r} does not fit into 64 bits")
    return number


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _refused("number", f"the number {digits[:24]!r} is too large")
    return number


def _constant(word: str) -> Json:
    raise _refused("number", f"{word} is no number of JSON")


def _refused(what: str, reason: str) -> Exception:
    return deny(f"json.{what}", reason, status=400)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)
