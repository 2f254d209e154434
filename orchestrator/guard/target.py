"""The target of a request: one canonical form, or a refusal. Pure.

The daemon routes ``/v1.41/%63ontainers`` and ``/v1.41.0/containers`` like their plain forms, and sends ``//`` and ``..`` elsewhere by a
redirect that a proxy might follow by itself (measured). Here a path has one spelling.
"""

import re
from dataclasses import dataclass

from orchestrator.guard.calls import Denied, deny
from orchestrator.guard.fold import fold
from orchestrator.model.guard import MINIMUM_API, NEWEST_API

Query = tuple[tuple[str, str], ...]

MAX_TARGET = 64 << 10  # filters and build arguments travel in it
_VISIBLE = re.compile(r"[\x21-\x7e]+", re.ASCII)
_SEGMENT = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,=:@-]|%[0-9A-Fa-f]{2})+", re.ASCII)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})", re.ASCII)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})", re.ASCII)
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_NEVER = frozenset([*range(0x20), 0x7F, *b"/\\"])
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]{0,2})", re.ASCII)
_VERSION_LIKE = re.compile(r"v[0-9]", re.IGNORECASE)
_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_FALSE = frozenset(["", "0", "no", "false", "none"])


@dataclass(frozen=True, slots=True)
class Target:
    """``version``: None where the path names none. ``segments``: decoded. ``query``: decoded once, in the client's order."""

    version: tuple[int, int] | None
    segments: tuple[str, ...]
    query: Query


def parse_target(target: str) -> Target:
    """Raises Denied: it is not in its one canonical form."""
    if len(target) > MAX_TARGET:
        raise deny("target.size", f"the target has {len(target)} characters", allowed=f"{MAX_TARGET}", status=413)
    if not _VISIBLE.fullmatch(target):
        raise _refused("characters", "the target holds a character that is not visible ASCII")
    if not target.startswith("/"):
        raise _refused("form", "the target is not a path", "a path that begins with a slash")
    if "#" in target:
        raise _refused("form", "the target has a fragment")
    path, _, query = target.partition("?")
    version, segments = _split_version(tuple(_segment(part) for part in path[1:].split("/")))
    return Target(version, segments, tuple(_pair(part) for part in query.split("&") if part))


def one(query: Query, name: str) -> str | None:
    """The value of ``name``; None where it is not there.

    Raises:
        Denied: it is there twice, or in another case, which somebody might take for it.
    """
    values = [value for key, value in query if key == name]
    folded = fold(name)
    for key, _ in query:
        if key != name and fold(key) == folded:
            raise deny("query.case", f"the parameter {key[:40]!r} is spelt in another case", field=key[:40], allowed=name, status=400)
    if len(values) > 1:
        raise deny("query.duplicate", f"the parameter {name!r} comes {len(values)} times", field=name, status=400)
    return values[0] if values else None


def boolean(text: str) -> bool:
    """As the daemon reads flags: everything is true but nothing and a few words."""
    return text.strip().lower() not in _FALSE


def integer(text: str, low: int, high: int) -> int:
    """Raises Denied: no whole number, or outside of ``low`` to ``high``."""
    if not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
        raise deny("query.number", f"{text[:40]!r} is no number between {low} and {high}", status=400)
    return int(text)


# --- path ------------------------------------------------------------------------------------------------------------------------


def _segment(text: str) -> str:
    if not text:
        raise _refused("path", "the path has an empty part, or ends in a slash")
    if not _SEGMENT.fullmatch(text):
        raise _refused("path", f"{text[:80]!r} holds a character that no part of a path has unescaped")
    escaped = {int(digits, 16) for digits in _ESCAPE.findall(text)}
    if escaped & _UNRESERVED:
        raise _refused("encoding", f"{text[:80]!r} escapes a character that needs no escape")
    if escaped & _NEVER:
        raise _refused("encoding", f"{text[:80]!r} escapes a slash, a backslash or a control character")
    if text in (".", ".."):
        raise _refused("path", f"the path has the part {text!r}")
    return _decode(text)


def _split_version(segments: tuple[str, ...]) -> tuple[tuple[int, int] | None, tuple[str, ...]]:
    first = segments[0]
    if not _VERSION_LIKE.match(first):
        return None, segments
    match = _VERSION.fullmatch(first)
    spoken = f"{_shown(MINIMUM_API)} to {_shown(NEWEST_API)}"
    if match is None:
        raise _refused("version", f"{first[:40]!r} is no version of the API", f"/v1.N, {spoken}")
    version = (1, int(match[1]))
    if version < MINIMUM_API:
        text = f"client version {_shown(version)} is too old. Minimum supported API version is {_shown(MINIMUM_API)}"
        raise _refused("version", text, spoken)
    return version, segments[1:]


def _shown(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


# --- query -----------------------------------------------------------------------------------------------------------------------


def _pair(text: str) -> tuple[str, str]:
    if ";" in text:
        raise _refused("query", "a semicolon parts the query for some readers and not for others")
    name, _, value = text.partition("=")
    return _plus(name), _plus(value)


def _plus(text: str) -> str:
    return _decode(text.replace("+", " "))


def _decode(text: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise _refused("encoding", f"{text[:80]!r} holds a percent sign that begins no escape")
    raw = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text).encode("latin-1")
    try:
        decoded = raw.decode()
    except UnicodeDecodeError:
        raise _refused("encoding", f"{text[:80]!r} is not UTF-8") from None
    if "\0" in decoded:
        raise _refused("encoding", f"{text[:80]!r} holds a NUL")
    return decoded


def _refused(what: str, reason: str, allowed: str | None = None) -> Denied:
    return deny(f"target.{what}", reason, allowed=allowed, status=400)
