"""devcontainer.json and Dockerfiles as sources of the allow list."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.guard.sources import BadSource, devcontainer, dockerfiles
from orchestrator.guard.sources.devcontainer import BuildFacts


def test_devcontainer_image() -> None:
    found = devcontainer.facts(
        b'// c\n{"image": "mcr.microsoft.com/devcontainers/base:${localEnv:V:bookworm}", "features": {"x": {}},}', {}
    )
    assert [one.reference for one in found.images] == ["mcr.microsoft.com/devcontainers/base:bookworm"]
    assert found.build is None
    assert found.compose_files == ()
    assert "features" in found.warnings[0]


ARGUMENTS = '{"build": {"dockerfile": "Dockerfile", "context": "..", "args": {"V": "${localEnv:V}", "N": 1}, "target": "dev"}}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ARGUMENTS, BuildFacts("Dockerfile", "..", {"V": "12"}, "dev")),
        ('{"dockerFile": "D", "context": "x"}', BuildFacts("D", "x", {}, "")),
        ('{"build": {"dockerfile": "D"}}', BuildFacts("D", ".", {}, "")),
        ('{"build": "x"}', None),
    ],
)
def test_devcontainer_build(text: str, expected: BuildFacts | None) -> None:
    assert devcontainer.facts(text.encode(), {"V": "12"}).build == expected


def test_devcontainer_compose() -> None:
    assert devcontainer.facts(b'{"dockerComposeFile": "a.yml", "service": "web"}', {}).compose_files == ("a.yml",)
    found = devcontainer.facts(b'{"dockerComposeFile": ["a.yml", "b.yml", 1], "service": "web"}', {})
    assert (found.compose_files, found.service) == (("a.yml", "b.yml"), "web")


def test_devcontainer_unknown_variables() -> None:
    found = devcontainer.facts(b'{"image": "x:${containerEnv:V}"}', {})
    assert found.images == ()
    assert found.warnings


DOCKERFILE = b"""# syntax=docker/dockerfile:1
ARG V=12
ARG BASE=debian:$V
FROM ${BASE} AS build
RUN --mount=type=bind,from=node:20,target=/n ls && \\
    echo FROM nothing
RUN cat <<EOF > q.sql
SELECT *
FROM users
EOF
FROM build AS more
FROM --platform=$BUILDPLATFORM scratch
COPY --from=build / /
COPY --from=0 / /
COPY --link --from=busybox:1 / /
FROM ${MISSING}
"""


def test_dockerfile() -> None:
    """Also of one that only BuildKit could build; which is said."""
    found = dockerfiles.images(DOCKERFILE, "Dockerfile")
    assert [one.reference.removeprefix("docker.io/library/") for one in found.images] == ["debian:12", "node:20", "busybox:1"]
    assert found.images[0].origin == "Dockerfile:4"
    assert "BuildKit" in found.warnings[0]
    assert [one.reference for one in dockerfiles.images(b"ARG V=1\nFROM a:$V", "D", {"V": "2"}).images] == ["docker.io/library/a:2"]
    assert dockerfiles.images(b"FROM a", "D").warnings == ()


@pytest.mark.parametrize(
    "data", [b"FROM a\n" * 300_000, b"".join(b"FROM a%d\n" % number for number in range(600))], ids=["bytes", "images"]
)
def test_too_much(data: bytes) -> None:
    with pytest.raises(BadSource):
        dockerfiles.images(data, "Dockerfile")


PIECES = st.sampled_from(
    [
        b"FROM ",
        b"a",
        b"\n",
        b"\\\n",
        b"RUN ",
        b"<<E",
        b"E",
        b"ARG ",
        b"A=",
        b"$A",
        b"${",
        b"}",
        b"COPY --from=",
        b"#",
        b"\xff",
        b"'",
        b" AS b",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=15).map(b"".join))
def test_any_bytes(data: bytes) -> None:
    dockerfiles.images(data, "Dockerfile")
    with contextlib.suppress(BadSource):
        devcontainer.facts(data, {})
