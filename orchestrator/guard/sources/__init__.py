"""Where the allow list comes from: files that are read once, at launch, as data. Pure: bytes in, names and what was not understood out."""

import json
import re
from dataclasses import dataclass

from orchestrator.devcontainer import jsonc
from orchestrator.guard.calls import Denied, Json, Object
from orchestrator.guard.imagenames import canonical

MAX_BYTES = jsonc.MAX_BYTES
MAX_JSON_BYTES = 16 << 20  # an agent's own file of state, such as ~/.claude.json
MAX_DEPTH = jsonc.MAX_DEPTH
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
    try:
        value = _plain(text)
    except BadSource:
        if len(data) > MAX_BYTES:
            raise  # so large only a program writes, and it writes no comments
        value = _with_comments(text)
    if not isinstance(value, dict):
        raise BadSource("is no JSON object")
    return value


def _with_comments(text: str) -> Json:
    try:
        document = jsonc.parse(text)
    except jsonc.BadJson as problem:
        raise BadSource(f"is no JSON: {problem}") from None
    if document.repeated:
        raise BadSource(f"has a key twice: {document.repeated[0].key[:40]!r}, {document.repeated[0].place}")
    return document.value


def _plain(text: str) -> Json:
    """The usual case, and thirty times as fast."""
    _judge_depth(text)
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
