"""Dockerfiles as instructions: lines joined, directives and flags understood; what two builders read differently is refused. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrator.guard.calls import deny

MAX_BYTES = 256 * 1024
MAX_LINE = 60_000  # the engine's own limit is 65,535
MAX_INSTRUCTIONS = 2000
CLASSIC = "what the classic builder has (DOCKER_BUILDKIT=0, as is set inside)"

# For each instruction, the flags that pass.
INSTRUCTIONS: Mapping[str, frozenset[str]] = {
    "FROM": frozenset(["platform"]),
    "COPY": frozenset(["from", "chown", "chmod", "link"]),
    "ADD": frozenset(["chown", "chmod", "link"]),
    "HEALTHCHECK": frozenset(["interval", "timeout", "start-period", "start-interval", "retries"]),
    **dict.fromkeys([
        "ARG", "CMD", "ENTRYPOINT", "ENV", "EXPOSE", "LABEL", "MAINTAINER", "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME",
        "WORKDIR",
    ], frozenset[str]()),
}  # fmt: skip

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*")
_OFFICIAL_SYNTAX = re.compile(r"(docker\.io/)?docker/dockerfile(:[\w.-]+)?(@sha256:[0-9a-f]{64})?", re.ASCII)
_FLAG = re.compile(r"--([a-z][a-z-]*)(?:=([^\s\"'\\`]*))?(?=[ \t]|$)", re.ASCII)
HEREDOC = re.compile(r"(?:^|\s)\d*<<-?[^<\s]")  # as newer parsers find them; 20.10 knows none
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f\x85\u2028\u2029]")  # the escape of terminals is left: RUN printf has it


@dataclass(frozen=True, slots=True)
class Instruction:
    """``word`` in upper case; ``rest`` without flags, without blanks at its ends, on one line."""

    word: str
    flags: tuple[tuple[str, str | None], ...]
    rest: str
    line: int


@dataclass(frozen=True, slots=True)
class Source:
    escape: str
    instructions: tuple[Instruction, ...]


def parse(data: bytes) -> Source:
    """Raises Denied: it is no Dockerfile of the classic builder, or one that two builders read differently."""
    if len(data) > MAX_BYTES:
        raise deny("build.dockerfile-large", f"the Dockerfile is larger than {MAX_BYTES // 1024} KiB", status=413)
    try:
        text = data.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise deny("build.dockerfile", "the Dockerfile is not UTF-8", status=400) from None
    if odd := _CONTROL.search(text):
        raise deny("build.dockerfile", f"the Dockerfile holds the character U+{ord(odd[0]):04X}", status=400)
    lines = text.split("\n")
    escape, first = _directives(lines)
    found = tuple(instruction(line, number, escape) for line, number in _logical(lines, first, escape))
    if len(found) > MAX_INSTRUCTIONS:
        raise deny("build.dockerfile-large", f"more than {MAX_INSTRUCTIONS} instructions", status=413)
    return Source(escape, found)


def _directives(lines: list[str]) -> tuple[str, int]:
    """The escape character, and how many lines are directives."""
    seen: dict[str, str] = {}
    for number, line in enumerate(lines):
        match = _DIRECTIVE.fullmatch(line.strip())
        key = match[1].lower() if match else ""
        if match is None or key not in ("escape", "syntax", "check"):
            return seen.get("escape", "\\"), number
        if key in seen:
            raise deny("build.dockerfile", f"two directives {key!r}", field=f"Dockerfile:{number + 1}", status=400)
        seen[key] = match[2]
        if key == "escape" and match[2] not in ("\\", "`"):
            raise deny("build.dockerfile", f"{match[2][:20]!r} is no escape character", field=f"Dockerfile:{number + 1}", status=400)
        # The official one names what the classic builder is, more or less, and is left out; another one is another language.
        if key == "syntax" and not _OFFICIAL_SYNTAX.fullmatch(match[2]):
            raise deny(
                "build.syntax",
                f"the frontend {match[2][:80]!r} is an image that reads the Dockerfile",
                field=f"Dockerfile:{number + 1}",
                allowed=CLASSIC,
            )
    return seen.get("escape", "\\"), len(lines)


def _logical(lines: list[str], first: int, escape: str) -> Iterable[tuple[str, int]]:
    """Lines with their continuations joined, comments and empty lines left out."""
    parts: list[str] = []
    start = 0
    for number, line in enumerate(lines[first:], first + 1):
        if line.lstrip().startswith("#") or not line.strip():
            continue
        start = start if parts else number
        bare = line.rstrip(" \t")
        if bare.endswith(escape * 2):
            raise deny(
                "build.dockerfile",
                f"a line ends in {escape * 2!r}, which builders read differently",
                field=f"Dockerfile:{number}",
                status=400,
            )
        if bare.endswith(escape):
            parts.append(bare[:-1])
            continue
        yield "".join((*parts, line)), start
        parts = []
    if "".join(parts).strip():
        yield "".join(parts), start


def instruction(line: str, number: int, escape: str) -> Instruction:
    where = f"Dockerfile:{number}"
    word, rest = (*line.strip().split(None, 1), "", "")[:2]
    if len(word) > 20 or not word.isascii() or word.upper() not in INSTRUCTIONS:
        raise deny(
            "build.instruction", f"{word[:40]!r} is no instruction", field=where, allowed=", ".join(sorted(INSTRUCTIONS)), status=400
        )
    flags, rest = _flags(word.upper(), rest.strip(), where)
    found = Instruction(word.upper(), flags, rest, number)
    judge_line(found, escape, where)
    return found


def _flags(word: str, rest: str, where: str) -> tuple[tuple[tuple[str, str | None], ...], str]:
    flags: dict[str, str | None] = {}
    while rest.startswith("--"):
        match = _FLAG.match(rest)
        name = match[1] if match else rest.split(None, 1)[0][2:40]
        if word == "RUN" and name in ("mount", "network", "security", "device"):
            raise deny("build.buildkit", f"RUN --{name} needs BuildKit, which is not to be had here", field=where, allowed=CLASSIC)
        if match is None or name not in INSTRUCTIONS[word] or name in flags:
            raise deny("build.flag", f"{word} --{name} is not understood", field=where, allowed=CLASSIC)
        flags[name] = match[2]
        rest = rest[match.end() :].strip()
    return tuple(flags.items()), rest


def judge_line(one: Instruction, escape: str, where: str) -> None:
    """What no instruction may have, wherever its parts come from."""
    if one.word in ("RUN", "COPY", "ADD", "ONBUILD") and HEREDOC.search(one.rest):
        raise deny("build.heredoc", "here-documents need BuildKit, which is not to be had here", field=where, allowed=CLASSIC)
    if one.rest.rstrip().endswith(escape):
        raise deny("build.dockerfile", f"the last line of the instruction ends in {escape!r}", field=where, status=400)
    if len(plain_line(one).encode()) > MAX_LINE:
        raise deny("build.dockerfile-large", f"the instruction is longer than {MAX_LINE} bytes", field=where, status=413)
    if one.word == "LABEL" and "dev.aienv." in one.rest.lower():
        raise deny("labels.reserved", "labels that begin with 'dev.aienv.' are aienv's own", field=where, allowed="other labels")


def plain_line(one: Instruction) -> str:
    flags = [f"--{name}" if value is None else f"--{name}={value}" for name, value in one.flags]
    return " ".join([one.word, *flags, *([one.rest] if one.rest else [])])
