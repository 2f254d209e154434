"""Dockerfiles, against a careless reader that knows only what every builder agrees on: one instruction on a line.

Whatever the bytes: only our own refusal is raised; what is sent names no image but by an id that was given, has no line that continues,
no directive but the escape, nothing that ADD could fetch; and it is understood again as the same.
"""

import json

from orchestrator.guard.calls import Denied
from orchestrator.guard.dockerfile import images_of, judge_dockerfile
from orchestrator.guard.dockerlines import INSTRUCTIONS
from orchestrator.guard.sources.dockerfiles import images

DEBIAN, OWN = "1" * 64, "2" * 64
ALLOWED = {"debian:12": DEBIAN, "own": f"sha256:{OWN}", DEBIAN: DEBIAN, OWN: OWN}

SEEDS = (
    b"# syntax=docker/dockerfile:1\nARG V=12\nFROM debian:${V:-12} AS build\nRUN make \\\n  # c\n && true\n"
    b"FROM own\nCOPY --from=build /a /b\n",
    b'# escape=`\nFROM debian:12\nRUN dir c:\\\nADD $X "y" /z\nONBUILD ADD ["$X", "/y"]\n',
    b'FROM debian:12\nFROM own AS x\nCOPY --chown=1:1 --from=0 ["a b", "c"]\nLABEL a=b\nHEALTHCHECK --interval=1s CMD x\n',
    b"FROM debian:12\nADD http://x/y /z\nRUN --mount=type=bind,from=evil x\nRUN cat <<EOF\nFROM evil\nEOF\n",
)
WORDS = (
    b"FROM ",
    b"COPY --from=",
    b"ADD ",
    b"RUN ",
    b"ONBUILD ",
    b"ARG ",
    b"\\\n",
    b"`\n",
    b"\\\\\n",
    b"<<E",
    b"# escape=`\n",
    b"# syntax=x\n",
    b"http://",
    b"${A:-",
    b"}",
    b'["',
    b'", "',
    b'"]',
    b"\r",
    b"\x0b",
    b"\xc2\xa0",
    b"\xe2\x80\xa8",
    b"--mount=",
    b"evil",
    b" AS ",
    b"scratch",
)


def one_input(data: bytes) -> None:
    images(data, "Dockerfile")
    try:
        images_of(data, {"V": "12"})
        found = judge_dockerfile(data, {"V": "12"}, "", ALLOWED.get)
    except Denied:
        return
    assert set(found.images) <= {f"sha256:{DEBIAN}", f"sha256:{OWN}"}
    assert judge_dockerfile(found.text, {"V": "12"}, "", ALLOWED.get).text == found.text
    lines = found.text.decode().split("\n")
    assert lines.pop() == ""
    escape = "\\"
    if lines[0] == "# escape=`":
        escape = lines.pop(0)[-1]
    stages = {"scratch", DEBIAN, OWN}
    for line in lines:
        assert line.isprintable() or "\t" in line or "\x1b" in line or not line.isascii()
        assert not line.rstrip(" \t").endswith(escape)
        word, *rest = line.split(" ")
        assert word in INSTRUCTIONS
        stages |= careless(word, rest, stages)


def careless(word: str, rest: list[str], stages: set[str]) -> set[str]:
    """The names of stages that a line gives."""
    if word == "FROM":
        assert rest[0] in stages
        return {rest[-1]}
    if word == "ONBUILD":
        assert rest[0] not in ("FROM", "ONBUILD")
        assert not any(part.startswith("--from") for part in rest)
        return careless(rest[0], rest[1:], stages)
    flags = [part for part in rest if part.startswith("--")] if word in ("COPY", "ADD", "RUN") else []
    for flag in flags[: next((place for place, part in enumerate(rest) if not part.startswith("--")), 0)]:
        name, _, value = flag.partition("=")
        assert name != "--mount"
        assert name != "--from" or value in stages or value.isdigit()
    if word == "ADD":
        text = " ".join(rest)
        for source in json.loads(text[text.index("[") :])[:-1]:
            assert not source.lower().startswith(("http", "$", '"', "'", "\\", "`"))
    return set()
