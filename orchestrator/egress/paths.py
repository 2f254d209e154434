"""Paths of requests against patterns of rules.

A path has many spellings, and servers differ in which they take for one another: `/a/../b`, `/a/%2e%2e/b`, `/a//b`, `/a/..;/b`,
`/%61`, `/%2561`, `/b;x`. So a path that could mean another one never matches a pattern that allows, and always one that denies.
"""

import re

# What RFC 3986 allows in a path, without the single quote: rules are written on command lines. `*` stands for any characters.
PATTERN = re.compile(r"/[A-Za-z0-9/_.~!$&()+,;=:@%*-]*", re.ASCII)

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})", re.ASCII)
# Overlong forms of ASCII, and UTF-16: some decoders make a dot or a slash of these, also after another decoder has been there.
_OTHER_ESCAPE = re.compile(r"%[Cc][01]|%[Ee]0%[89]|%[Ff]0%8|%[Uu][0-9A-Fa-f]{4}", re.ASCII)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})", re.ASCII)
# `%252e` is `..`'s dot behind two servers that each decode once; more than this many layers are nobody's honest path.
_MOST_LAYERS = 4


def spellings(path: str) -> tuple[str, ...] | None:
    """``path`` as it came, and decoded once, twice, ... until nothing changes. None: a server could take it for another path."""
    if _BROKEN_ESCAPE.search(path):
        return None
    found = [path]
    for _ in range(_MOST_LAYERS):
        if _misleads(found[-1]) or _OTHER_ESCAPE.search(found[-1]):
            return None
        decoded = _decoded(found[-1])
        if decoded == found[-1]:
            return tuple(found)
        if decoded.count("/") != found[-1].count("/"):
            return None
        found.append(decoded)
    return None


def is_ambiguous(path: str) -> bool:
    return spellings(path) is None


def allows(pattern: str, path: str) -> bool:
    """Whether a row that allows ``pattern`` covers ``path``, which is raw and without query: with its parameters and without."""
    variants = spellings(path)
    if variants is None or not matches(pattern, path):
        return False
    patterns = {pattern, _decoded(pattern)}
    bare = (_without_parameters(variant) for variant in variants if ";" in variant and ";" not in pattern)
    return all(any(matches(one, variant) for one in patterns) for variant in bare)


def denies(pattern: str, path: str) -> bool:
    """Whether a row that denies ``pattern`` covers ``path``: in any spelling, in capitals or not, and whatever servers cut off."""
    variants = spellings(path)
    if variants is None:
        return True
    patterns = {pattern.lower(), _decoded(pattern).lower()}
    return any(matches(one, form.lower()) for one in patterns for variant in variants for form in _forms(variant))


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
        or any(segment.partition(";")[0].rstrip(" ") in (".", "..") for segment in path.split("/"))
    )


def _decoded(path: str) -> str:
    return _ESCAPE.sub(_character, path)


def _without_parameters(path: str) -> str:
    """As Java's servers map it: `/admin;x/y` is `/admin/y` there, and so is `/;x/admin/y`."""
    return re.sub("/+", "/", "/".join(segment.partition(";")[0] for segment in path.split("/")))


def _forms(path: str) -> set[str]:
    """What servers take ``path`` for: without parameters, without dots and blanks that Windows cuts off, with a slash at the end or not."""
    bare = _without_parameters(path)
    cut = re.sub(r"[. ]+(?=/|$)", "", bare)
    return {path, *(form for one in (path, bare, cut) for form in (one.rstrip("/"), one.rstrip("/") + "/"))}


def _character(found: re.Match[str]) -> str:
    """Of an ASCII character itself; of a byte of another one a stand-in: those cannot become a dot or a slash any more."""
    value = int(found[1], 16)
    return chr(value) if value < 0x80 else "x"
