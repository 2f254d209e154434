"""Paths of requests against patterns of rules.

A path has many spellings, and servers differ in which they take for one another: `/a/../b`, `/a/%2e%2e/b`, `/a//b`, `/a/..;/b`,
`/%61`, `/%2561`. So a path that could mean another one never matches a pattern that allows, and always one that denies.
"""

import re

# What RFC 3986 allows in a path, without the single quote: rules are written on command lines. `*` stands for any characters.
PATTERN = re.compile(r"/[A-Za-z0-9/_.~!$&()+,;=:@%*-]*", re.ASCII)

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%[Cc][01]", re.ASCII)  # C0 and C1 begin only overlong forms of ASCII
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})", re.ASCII)
# `%252e` is `..`'s dot behind two servers that each decode once; more than this many layers are nobody's honest path.
_MOST_LAYERS = 4


def spellings(path: str) -> tuple[str, ...] | None:
    """``path`` as it came, and decoded once, twice, ... until nothing changes. None: a server could take it for another path."""
    if _BROKEN_ESCAPE.search(path):
        return None
    found = [path]
    for _ in range(_MOST_LAYERS):
        if _misleads(found[-1]):
            return None
        decoded = _ESCAPE.sub(_character, found[-1])
        if decoded == found[-1]:
            return tuple(found)
        if decoded.count("/") != found[-1].count("/"):
            return None
        found.append(decoded)
    return None


def is_ambiguous(path: str) -> bool:
    return spellings(path) is None


def allows(pattern: str, path: str) -> bool:
    """Whether a row that allows ``pattern`` covers ``path``, which is raw and without query."""
    return not is_ambiguous(path) and matches(pattern, path)


def denies(pattern: str, path: str) -> bool:
    """Whether a row that denies ``pattern`` covers ``path``: in any spelling, in capitals or not."""
    variants = spellings(path)
    if variants is None:
        return True
    patterns = {pattern.lower(), _ESCAPE.sub(_character, pattern).lower()}
    return any(matches(one, variant.lower()) for one in patterns for variant in variants)


def matches(pattern: str, path: str) -> bool:
    """``*`` in ``pattern`` is any characters, also none and slashes; all else is itself."""
    first, *others = pattern.split("*")
    if not others:
        return path == pattern
    position, end = len(first), len(path) - len(others[-1])
    if position > end or not path.startswith(first) or not path.endswith(others[-1]):
        return False
    for piece in others[:-1]:
        found = path.find(piece, position, end)
        if found < 0:
            return False
        position = found + len(piece)
    return True


def without_query(target: str) -> str:
    return target.partition("?")[0].partition("#")[0]


def _misleads(path: str) -> bool:
    return (
        not path.startswith("/")
        or "//" in path
        or "\\" in path
        or not all(" " <= char < "\x7f" for char in path)
        or any(segment.partition(";")[0] in (".", "..") for segment in path.split("/"))
    )


def _character(found: re.Match[str]) -> str:
    """Of an ASCII character itself; of a byte of another one a stand-in: those cannot become a dot or a slash any more."""
    value = int(found[1], 16)
    return chr(value) if value < 0x80 else "x"
