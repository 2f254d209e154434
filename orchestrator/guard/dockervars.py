"""Words of a Dockerfile: quotes, escapes and variables, by the rules that the classic builder has for FROM and ARG. Pure."""

import re
from collections.abc import Mapping

from orchestrator.guard.calls import deny

MAX_DEPTH, MAX_LENGTH = 8, 8192

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_MODIFIERS = (":-", ":+", ":?", "-", "+", "?")


def expand(text: str, variables: Mapping[str, str], escape: str) -> str:
    """``text`` with its quotes taken off and its variables put in; one that is not set is empty.

    Raises:
        Denied: a form that engines read differently, or do not read.
    """
    if len(text) > MAX_LENGTH:  # else a few variables of that length make gigabytes of it
        raise _bad(text, "is too long")
    result, end = _until(text, 0, "", variables, escape, 0)
    assert end == len(text)
    if len(result) > MAX_LENGTH:
        raise _bad(text, "is too long")
    return result


def split_words(text: str, escape: str) -> list[str]:
    """At blanks outside of quotes; quotes and escapes stay."""
    words, word, quote, position = [], "", "", 0
    while position < len(text):
        char = text[position]
        if char == escape and position + 1 < len(text):
            word += text[position : position + 2]
            position += 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        if char in " \t" and not quote:
            words.append(word)
            word = ""
        else:
            word += char
        position += 1
    return [one for one in (*words, word) if one]


def _until(text: str, start: int, stop: str, variables: Mapping[str, str], escape: str, depth: int) -> tuple[str, int]:
    if depth > MAX_DEPTH:
        raise _bad(text, "is nested too deep")
    out: list[str] = []
    position = start
    while position < len(text):
        char = text[position]
        if char == stop:
            return "".join(out), position + 1
        if char == escape:
            out.append(text[position + 1 : position + 2])
            position += 2
        elif char == "'":
            end = text.find("'", position + 1)
            if end < 0:
                raise _bad(text, "has an open quote")
            out.append(text[position + 1 : end])
            position = end + 1
        elif char == '"':
            inner, position = _quoted(text, position + 1, variables, escape, depth)
            out.append(inner)
        elif char == "$":
            inner, position = _dollar(text, position + 1, variables, escape, depth)
            out.append(inner)
        else:
            out.append(char)
            position += 1
    if stop:
        raise _bad(text, f"lacks a {stop!r}")
    return "".join(out), min(position, len(text))


def _quoted(text: str, start: int, variables: Mapping[str, str], escape: str, depth: int) -> tuple[str, int]:
    out: list[str] = []
    position = start
    while position < len(text):
        char = text[position]
        if char == '"':
            return "".join(out), position + 1
        if char == "$":
            inner, position = _dollar(text, position + 1, variables, escape, depth)
            out.append(inner)
            continue
        if char == escape and text[position + 1 : position + 2] in ('"', "$", escape):
            position += 1
            char = text[position]
        out.append(char)
        position += 1
    raise _bad(text, "has an open quote")


def _dollar(text: str, start: int, variables: Mapping[str, str], escape: str, depth: int) -> tuple[str, int]:
    braced = text[start : start + 1] == "{"
    match = _NAME.match(text, start + braced)
    if match is None:
        raise _bad(text, "holds a '$' without a name")
    name, position = match[0], match.end()
    if not braced:
        return variables.get(name, ""), position
    if text[position : position + 1] == "}":
        return variables.get(name, ""), position + 1
    modifier = next((one for one in _MODIFIERS if text.startswith(one, position)), None)
    if modifier is None:
        raise _bad(text, "has a substitution that is not known here")
    word, position = _until(text, position + len(modifier), "}", variables, escape, depth + 1)
    value = variables.get(name)
    there = bool(value) if modifier[0] == ":" else value is not None
    if modifier[-1] == "?" and not there:
        raise _bad(text, f"needs {name}")
    if modifier[-1] == "+":
        return (word if there else ""), position
    return (value or "" if there else word), position


def _bad(text: str, problem: str) -> Exception:
    return deny("build.substitution", f"{text[:80]!r} {problem}", allowed="$NAME, ${NAME}, ${NAME:-default}, ${NAME:+other}", status=400)
