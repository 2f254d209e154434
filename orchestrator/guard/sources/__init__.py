"""Where the allow list comes from: files that are read once, at launch, as data. Pure: bytes in, names and what was not understood out."""

import json
import re
from dataclasses import dataclass

from orchestrator.guard.calls import Denied, Json, Object
from orchestrator.guard.imagenames import canonical

MAX_BYTES = 1 << 20
MAX_JSON_BYTES = 16 << 20  # an agent's own file of state, such as ~/.claude.json
MAX_DEPTH = 64
MAX_IMAGES = 500


class BadSource(ValueError):
    """A file that cannot be read. The text is the whole reason."""


@dataclass(frozen=True, slots=True)
class Named:
    """``reference``: canonical. ``origin``: where in the file, for people."""

    reference: str
    origin: str


def named(text: str, origin: str, warnings: list[str]) -> tuple[Named, ...]:
    """One image, or a warning and none."""
    try:
        return (Named(canonical(text), origin),)
    except Denied:
        warnings.append(f"{origin}: {text[:80]!r} is no name of an image")
        return ()


_TOKEN = re.compile(
    r'(?P<string>"(?:[^"\\\x00-\x1f]|\\.)*")|(?P<skip>//[^\n]*|/\*.*?\*/|[ \t\r\n]+)|(?P<mark>[{}\[\],:])|(?P<word>[A-Za-z0-9+.-]+)',
    re.DOTALL,
)


def read_json(data: bytes) -> Object:
    """A JSON document that is an object; comments and commas before a closing bracket are let through, as editors do.

    Raises:
        BadSource: it is not, or a key stands twice.
    """
    if len(data) > MAX_JSON_BYTES:
        raise BadSource(f"is larger than {MAX_JSON_BYTES >> 20} MiB")
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise BadSource("is not valid UTF-8") from None
    _judge_depth(text)
    try:
        value = _strict(text)
    except BadSource:
        if len(data) > MAX_BYTES:
            raise
        value = _strict(_without_comments(text))
    if not isinstance(value, dict):
        raise BadSource("is no JSON object")
    return value


def _strict(text: str) -> Json:
    try:
        value: Json = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as problem:
        raise problem if isinstance(problem, BadSource) else BadSource("is no JSON") from None
    return value


def _unique(pairs: list[tuple[str, Json]]) -> Object:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadSource("has a key twice")
    return found


def _no_constant(text: str) -> Json:
    raise BadSource(f"holds {text}")


def _judge_depth(text: str) -> None:
    """An upper bound, brackets in texts counted: the reader below calls itself."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for char in re.sub(r'"(?:[^"\\]|\\.)*"', "", text):
        depth += (char in "[{") - (char in "]}")
        if depth > MAX_DEPTH:
            raise BadSource(f"is nested deeper than {MAX_DEPTH} levels")


def _without_comments(text: str) -> str:
    out: list[str] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise BadSource(f"is no JSON, at line {text.count(chr(10), 0, position) + 1}")
        position = match.end()
        if match.lastgroup == "skip":
            out.append(" ")
            continue
        if match[0] in ("}", "]"):
            _drop_comma(out)
        out.append(match[0])
    return "".join(out)


def _drop_comma(out: list[str]) -> None:
    last = len(out) - 1
    while last >= 0 and out[last] == " ":
        last -= 1
    before = last - 1
    while before >= 0 and out[before] == " ":
        before -= 1
    if last >= 0 and out[last] == "," and before >= 0 and out[before] not in (",", "{", "[", ":"):
        out[last] = " "
