"""A service in what compose prints."""

import pytest

from orchestrator.devcontainer.compose import Service, service
from orchestrator.errors import ConfigError

TEXT = b"""
name: x
services:
  plain: {image: "debian:1"}
  short: {build: ./ctx}
  map:
    image: tagged
    build:
      context: /abs
      dockerfile: sub/D
      target: t
      args: {A: one, N: 1, E: null}
  list:
    build: {context: .., args: ["A=one=two", "B"]}
  none: {}
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain", Service("debian:1", None, {}, None)),
        ("short", Service(None, "/p/ctx/Dockerfile", {}, None)),
        ("map", Service("tagged", "/abs/sub/D", {"A": "one", "N": "1"}, "t")),
        ("list", Service(None, "/Dockerfile", {"A": "one=two"}, None)),
    ],
)
def test_service(name: str, expected: Service) -> None:
    assert service(TEXT, name, "/p/compose.yml") == expected


@pytest.mark.parametrize(
    ("data", "name"), [(TEXT, "no"), (b"", "x"), (b"services: 5", "x"), (b"- x", "x"), (b"services: {x: 1}", "x"), (b"{", "x")]
)
def test_refused(data: bytes, name: str) -> None:
    with pytest.raises(ConfigError):
        service(data, name, "/p/compose.yml")


def test_a_service_of_nothing() -> None:
    assert service(TEXT, "none", "/p/compose.yml") == Service(None, None, {}, None)
