"""Compose files: what is run, what is built, what the services are called; and what a hostile file costs."""

# ruff: noqa: E501 - a row of a table stays one line

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.guard.sources import BadSource
from orchestrator.guard.sources.compose import ComposeBuild, ComposeFacts, images, interpolate

FILE = """
x-common: &common
  restart: unless-stopped
  image: postgres:${PG:-16}
services:
  db:
    <<: *common
    container_name: main-db
    networks: {back: {aliases: [database]}}
  again:
    <<: [*common, {hostname: other}]
  web:
    build: .
    image: app:${TAG}
    links: ["db:pg"]
  worker:
    build:
      context: ./worker
      dockerfile: ${DF:-Dockerfile.worker}
      target: run
      args: {A: "1", B: , C: $TAG}
  cache:
    image: redis:7@sha256:1111111111111111111111111111111111111111111111111111111111111111
  listed:
    build: {context: ., args: [A=1, TAG, NONE]}
  inline:
    build:
      dockerfile_inline: |
        FROM busybox
  uses-built:
    image: app:v1
networks: {back: }
"""


def facts(text: str, **environ: str) -> ComposeFacts:
    return images(text.encode(), environ)


def test_everything() -> None:
    found = facts(FILE, TAG="v1")
    assert [one.reference for one in found.images] == ["docker.io/library/postgres:16", f"docker.io/library/redis@sha256:{'1' * 64}"]
    assert [one.reference for one in found.built] == ["docker.io/library/app:v1"]
    assert found.builds == (
        ComposeBuild("web", ".", "Dockerfile", {}, "", None),
        ComposeBuild("worker", "./worker", "Dockerfile.worker", {"A": "1", "C": "v1"}, "run", None),
        ComposeBuild("listed", ".", "Dockerfile", {"A": "1", "TAG": "v1"}, "", None),
        ComposeBuild("inline", ".", "Dockerfile", {}, "", "FROM busybox\n"),
    )
    assert found.services == (
        "db",
        "main-db",
        "database",
        "again",
        "other",
        "web",
        "pg",
        "worker",
        "cache",
        "listed",
        "inline",
        "uses-built",
    )
    assert found.warnings == ()
    assert found.images[0].origin == "compose file: service 'db'"


def test_first_form() -> None:
    """Without ``services``."""
    assert [one.reference for one in facts("db:\n  image: postgres\n").images] == ["docker.io/library/postgres:latest"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("services: {a: {image: '${X:?need it}'}}", "needs X"),
        ("services: {a: {image: '${X'}}", "not known"),
        ("services: {a: {image: 'A B'}}", "no name of an image"),
        ("services: {a: {extends: {file: other.yml, service: b}}}", "extends another file"),
        ("include: [a.yml]\nservices: {}", "include"),
    ],
)
def test_warnings(text: str, word: str) -> None:
    found = facts(text)
    assert found.images == ()
    assert any(word in warning for warning in found.warnings)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))


@pytest.mark.parametrize(
    "text",
    ["a: [", "services: !!python/object:os.system x", BOMB, "a: &a [*a]", "a: &a {b: *a}", "a: *b", "[" * 5000, "{1: 2}", "a: 1\na: 2", "a: " + "x" * 300_000,
     "services:\n" + "".join(f"  s{n}: {{image: 'i{n}'}}\n" for n in range(600))],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(BadSource):
        facts(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A-${A}", "a-a"),
        ("$$A", "$A"),
        ("${E:-x}${E-x}", "x"),
        ("${N:-${A}}", "a"),
        ("${A:+y}${N:+y}", "y"),
        ("${E+y}", "y"),
        ("${A:?no}", "a"),
        ("$N", ""),
    ],
)
def test_interpolate(text: str, expected: str) -> None:
    assert interpolate(text, {"A": "a", "E": ""}) == expected


@pytest.mark.parametrize("text", ["$", "${", "${}", "${A%x}", "${N?x}", "${E:?x}", "$1", "${N:-" * 20 + "}" * 20, "x" * 5000])
def test_not_interpolated(text: str) -> None:
    with pytest.raises(BadSource):
        interpolate(text, {"A": "a", "E": ""})


PIECES = st.sampled_from(
    [
        "services:\n",
        "  a:\n",
        "    image: x\n",
        "    build: .\n",
        "    <<: *c\n",
        "&c ",
        "*c",
        "{",
        "}",
        "[",
        "]",
        "a: ",
        ", ",
        "\n",
        "$A",
        "- b\n",
        "'",
        "!x ",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=15).map("".join))
def test_any_text(text: str) -> None:
    """Facts, or our own error."""
    with contextlib.suppress(BadSource):
        assert isinstance(facts(text), ComposeFacts)
