"""The images that a Dockerfile builds on or copies from, for the allow list. Pure.

More is read than the classic builder takes: a repository whose Dockerfile wants BuildKit still says which images it uses.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.guard import dockerfile
from orchestrator.guard.calls import Denied
from orchestrator.guard.dockervars import expand, split_words
from orchestrator.guard.sources import MAX_BYTES, MAX_IMAGES, BadSource, Named, named

_ESCAPE = re.compile(r"\A(?:\s*#[^\n]*\n)*?\s*#\s*escape\s*=\s*`\s*$", re.IGNORECASE | re.MULTILINE)
_HERE = re.compile(r"(?:^|\s)\d*<<(-?)[\"']?([A-Za-z_][A-Za-z0-9_]*)[\"']?")
_FROM = re.compile(r"--from=([^\s\"']+)|\bfrom=([^\s,\"']+)")


@dataclass(frozen=True, slots=True)
class DockerfileFacts:
    images: tuple[Named, ...]
    warnings: tuple[str, ...]


def images(data: bytes, source: str, arguments: Mapping[str, str] | None = None) -> DockerfileFacts:
    """``arguments``: in place of the defaults of ARG lines.

    Raises:
        BadSource: it cannot be read.
    """
    if len(data) > MAX_BYTES:
        raise BadSource(f"is larger than {MAX_BYTES >> 10} KiB")
    warnings: list[str] = []
    try:
        dockerfile.judge_dockerfile(data, arguments or {}, "", lambda name: "0" * 64)
    except Denied as problem:
        warnings.append(f"{source}: it cannot be built as it is: {problem.denial.reason}")
    found: dict[str, Named] = {}
    for name, line in _names(data.decode("utf-8", "replace"), dict(arguments or {}), warnings, source):
        for one in named(name, f"{source}:{line}", warnings):
            found.setdefault(one.reference, one)
    if len(found) > MAX_IMAGES:
        raise BadSource(f"names more than {MAX_IMAGES} images")
    return DockerfileFacts(tuple(found.values()), tuple(warnings))


def _names(text: str, arguments: Mapping[str, str], warnings: list[str], source: str) -> Iterator[tuple[str, int]]:
    escape = "`" if _ESCAPE.search(text) else "\\"
    variables: dict[str, str] = {}
    stages: set[str] = set()
    begun = False
    for line, number in _logical(text.replace("\r\n", "\n").split("\n"), escape):
        word, _, rest = line.strip().partition(" ")
        rest, word = rest.strip(), word.upper()
        try:
            if word == "ARG" and not begun:
                _declare(rest, variables, arguments, escape)
            elif word == "FROM":
                begun = True
                words = [one for one in rest.split() if not one.startswith("--")]
                base = expand(words[0], variables, escape) if words else ""
                if base and base != "scratch" and base.lower() not in stages:
                    yield base, number
                stages |= {words[2].lower()} if len(words) == 3 else set()
            elif word in ("COPY", "RUN"):
                yield from ((one, number) for one in _copied(word, rest) if one.lower() not in stages and not one.isdigit())
        except Denied as problem:
            warnings.append(f"{source}:{number}: {problem.denial.reason}")


def _copied(word: str, rest: str) -> Iterator[str]:
    """--from=IMAGE of COPY, and from=IMAGE in --mount of RUN."""
    for flag in rest.split():
        if not flag.startswith("--"):
            return
        if word == "COPY" or flag.startswith("--mount="):
            for match in _FROM.finditer(flag):
                yield match[1] or match[2]


def _declare(rest: str, variables: dict[str, str], arguments: Mapping[str, str], escape: str) -> None:
    for word in split_words(rest, escape):
        name, given, default = word.partition("=")
        if name in arguments:
            variables[name] = arguments[name]
        elif given:
            variables[name] = expand(default, variables, escape)


def _logical(lines: list[str], escape: str) -> Iterator[tuple[str, int]]:
    """Joined lines; the bodies of here-documents are skipped: SQL has a FROM, too."""
    joined, start, waiting = "", 0, list[str]()
    for number, line in enumerate(lines, 1):
        if waiting:
            if line.strip("\t") == waiting[0]:
                waiting.pop(0)
            continue
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        start = start if joined else number
        bare = line.rstrip(" \t")
        if bare.endswith(escape):
            joined += bare[:-1] + " "
            continue
        joined += line
        if joined.lstrip()[:4].upper() in ("RUN ", "COPY", "ADD "):
            waiting = [match[2] for match in _HERE.finditer(joined)]
        yield joined, start
        joined = ""
    if joined:
        yield joined, start
