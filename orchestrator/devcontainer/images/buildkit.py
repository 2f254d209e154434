"""What in a Dockerfile the classic builder cannot do. Pure.

Written after the builders' own parsers: directives, an escape character, continued lines, comments between them, here-documents.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_DIRECTIVE = re.compile(r"#\s*(?P<name>[a-zA-Z][a-zA-Z0-9]*)\s*=\s*(?P<value>.+?)\s*")
_HEREDOC = re.compile(r"(?<![<\w])[0-9]*<<(?P<strip>-?)(?P<quote>['\"]?)(?P<name>[a-zA-Z_][a-zA-Z0-9_]*)(?P=quote)")
_FLAG = re.compile(r"--(?P<name>[a-z][a-z-]*)(?:=\S*)?(?=\s|$)")
_PLATFORM_ARGUMENT = re.compile(r"(?:BUILD|TARGET)(?:PLATFORM|OS|ARCH|VARIANT)", re.ASCII)
_GIT_SOURCE = re.compile(r"\s(?:git@\S+|\S+\.git(?:#\S*)?)(?=\s)")

# Flags that classic builders know; each other one is BuildKit's.
CLASSIC_FLAGS = {
    "FROM": frozenset(["platform"]),
    "COPY": frozenset(["chown", "from"]),
    "ADD": frozenset(["chown"]),
    "HEALTHCHECK": frozenset(["interval", "timeout", "start-period", "retries"]),
}
_FLAGGED = frozenset(["RUN", "COPY", "ADD", "FROM"])
_WITH_HEREDOC = frozenset(["RUN", "COPY", "ADD"])


@dataclass(frozen=True, slots=True)
class Need:
    """``line``: from 1; ``what``: as it stands there. ``soft``: the classic builder takes it for a comment and may well succeed."""

    line: int
    what: str
    soft: bool = False


@dataclass(frozen=True, slots=True)
class Instruction:
    """``line``: its first, from 1; ``text``: continued lines in one, without the body of a here-document."""

    line: int
    word: str
    text: str


def needs_buildkit(text: str) -> Need | None:
    """The first thing that only BuildKit does; else a ``# syntax=`` line; else None."""
    for one in _read(text)[1]:
        if what := _only_buildkit(one):
            return Need(one.line, what)
    return syntax_line(text)


def syntax_line(text: str) -> Need | None:
    """The line that has BuildKit fetch an image first, which then reads the Dockerfile."""
    found = _read(text)[0].get("syntax")
    return Need(found[0], f"# syntax={found[1]}", soft=True) if found else None


def instructions_of(text: str) -> tuple[Instruction, ...]:
    return _read(text)[1]


def _only_buildkit(one: Instruction) -> str | None:
    word, rest = one.word, one.text
    if word == "ONBUILD":
        inner, _, after = rest.partition(" ")
        return _only_buildkit(Instruction(one.line, inner.upper(), after.strip()))
    if word in _FLAGGED:
        for flag in _flags(rest):
            if flag not in CLASSIC_FLAGS.get(word, ()):
                return f"{word} --{flag}"
    if word in _WITH_HEREDOC and (found := _heredocs(word, rest)):
        return f"{word} <<{found[0][0]}"
    if word in ("FROM", "ARG") and (match := _PLATFORM_ARGUMENT.search(rest)):
        return f"{word} with {match[0]}"
    if word == "ADD" and _GIT_SOURCE.search(f" {rest} "):
        return "ADD of a git repository"
    return None


def _flags(rest: str) -> list[str]:
    """Those in front; what follows is the instruction's own."""
    found: list[str] = []
    while match := _FLAG.match(rest):
        found.append(match["name"])
        rest = rest[match.end() :].lstrip()
    return found


def _heredocs(word: str, text: str) -> list[tuple[str, bool]]:
    """Names of here-documents that a line begins, and whether tabs in front of their ends count for nothing. A file name in brackets is
    no beginning."""
    if text.lstrip().startswith("["):
        return []
    return [(match["name"], bool(match["strip"])) for match in _HEREDOC.finditer(text)]


def _read(text: str) -> tuple[dict[str, tuple[int, str]], tuple[Instruction, ...]]:
    lines = text.removeprefix("\ufeff").split("\n")
    directives = _directives(lines)
    escape = directives.get("escape", (0, "\\"))[1]
    return directives, tuple(_instructions(lines, escape if escape in ("\\", "`") else "\\"))


def _directives(lines: list[str]) -> dict[str, tuple[int, str]]:
    """Comments of the form ``# name=value`` at the very top."""
    found: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(lines, 1):
        match = _DIRECTIVE.fullmatch(line.strip())
        if match is None or (name := match["name"].lower()) in found:
            break
        found[name] = (number, match["value"])
    return found


def _instructions(lines: list[str], escape: str) -> Iterator[Instruction]:
    position = 0
    while position < len(lines):
        first, held = position, ""
        while position < len(lines):
            line = lines[position].rstrip()
            position += 1
            if line.lstrip().startswith("#") or (held and not line):
                continue
            if line.endswith(escape):
                held += line[:-1]
                if not held.strip():
                    first = position
                continue
            held += line
            break
        word, _, rest = held.strip().partition(" ") if "\t" not in held.strip().partition(" ")[0] else held.strip().partition("\t")
        if not word:
            continue
        while first < position and (not lines[first].strip() or lines[first].lstrip().startswith("#")):
            first += 1
        one = Instruction(first + 1, word.upper(), rest.strip())
        yield one
        inner = one.text.partition(" ")[0].upper() if one.word == "ONBUILD" else one.word
        for name, strip in _heredocs(inner, one.text) if inner in _WITH_HEREDOC else ():
            while position < len(lines):
                line = lines[position].rstrip("\r")
                position += 1
                if (line.lstrip("\t") if strip else line) == name:
                    break
