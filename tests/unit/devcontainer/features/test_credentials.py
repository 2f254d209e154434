"""Who we are to a registry: the order of places, and whom we ask."""

import base64
import json
import os
import stat
from pathlib import Path

import pytest

from orchestrator.devcontainer.features.credentials import Credential, ask_helper, find, from_docker
from orchestrator.devcontainer.jsonc import Json


def nobody(name: str, registry: str) -> bytes | None:
    raise AssertionError(f"the helper {name} was asked for {registry}")


def config(folder: Path, **content: Json) -> dict[str, str]:
    (folder / "config.json").write_text(json.dumps(content))
    (folder / "config.json").chmod(0o600)
    return {"DOCKER_CONFIG": str(folder)}


def auth(user: str, secret: str) -> str:
    return base64.b64encode(f"{user}:{secret}".encode()).decode()


@pytest.mark.parametrize(
    ("value", "found"),
    [
        pytest.param("ghcr.io|me|token", Credential("me", "token"), id="one"),
        pytest.param("x.io|a|b, ghcr.io|me|token", Credential("me", "token"), id="second"),
        pytest.param("GHCR.IO|me|token", None, id="case"),
        pytest.param("ghcr.io|me", None, id="two-parts"),
        pytest.param("xghcr.io|me|token", None, id="another"),
    ],
)
def test_variable(value: str, found: Credential | None) -> None:
    assert find("ghcr.io", {"DEVCONTAINERS_OCI_AUTH": value}, nobody) == found


def test_order(tmp_path: Path) -> None:
    environ = config(tmp_path, auths={"ghcr.io": {"auth": auth("docker", "2")}}) | {"GITHUB_TOKEN": "3"}
    assert find("ghcr.io", {**environ, "DEVCONTAINERS_OCI_AUTH": "ghcr.io|me|1"}) == Credential("me", "1")
    assert find("ghcr.io", environ) == Credential("docker", "2")
    assert find("ghcr.io", {"GITHUB_TOKEN": "3"}) == Credential("USERNAME", "3")


@pytest.mark.parametrize(
    ("registry", "environ"),
    [
        pytest.param("ghcr.io.example.org", {"GITHUB_TOKEN": "t"}, id="another-host"),
        pytest.param("localhost:5000", {"GITHUB_TOKEN": "t"}, id="localhost"),
        pytest.param("ghcr.io", {"GITHUB_TOKEN": "t", "GITHUB_HOST": "github.example.org"}, id="token-of-an-enterprise"),
        pytest.param("ghcr.io", {}, id="nothing"),
        pytest.param("ghcr.io", {"DOCKER_CONFIG": "relative"}, id="relative-config"),
    ],
)
def test_anonymous(registry: str, environ: dict[str, str]) -> None:
    assert find(registry, environ, nobody) is None


@pytest.mark.parametrize(
    ("content", "asked", "found"),
    [
        pytest.param({"auths": {"r.io": {"auth": auth("a", "b:c")}}}, [], Credential("a", "b:c"), id="written"),
        pytest.param({"auths": {"https://r.io": {"auth": auth("a", "b")}}}, [], Credential("a", "b"), id="with-a-scheme"),
        pytest.param({"auths": {"r.io": {"auth": "", "identitytoken": "t"}}}, [], Credential("", "t", identity=True), id="identity"),
        pytest.param({"auths": {"r.io": {"auth": "%%%"}}}, [], None, id="not-base64"),
        pytest.param({"auths": {"r.io": {}}}, [], None, id="empty"),
        pytest.param({"credHelpers": {"r.io": "mine"}, "credsStore": "all"}, [("mine", "r.io")], Credential("h", "s"), id="helper"),
        pytest.param({"credHelpers": {"other.io": "mine"}, "credsStore": "all"}, [("all", "r.io")], Credential("h", "s"), id="store"),
        pytest.param({"credsStore": "../../bin/sh"}, [], None, id="helper-is-a-path"),
        pytest.param({"credsStore": 1, "auths": []}, [], None, id="types"),
    ],
)
def test_docker(content: dict[str, Json], asked: list[tuple[str, str]], found: Credential | None) -> None:
    calls: list[tuple[str, str]] = []

    def helper(name: str, registry: str) -> bytes | None:
        calls.append((name, registry))
        return b'{"Username": "h", "Secret": "s"}'

    assert from_docker("r.io", content, helper) == found
    assert calls == asked


@pytest.mark.parametrize(
    ("output", "found"),
    [
        pytest.param(b'{"Username": "<token>", "Secret": "t"}', Credential("", "t", identity=True), id="token"),
        pytest.param(b'{"Username": "a", "Secret": ""}', Credential("w", "x"), id="no-secret"),
        pytest.param(b"credentials not found", Credential("w", "x"), id="no-json"),
        pytest.param(b"\xff", Credential("w", "x"), id="bytes"),
        pytest.param(None, Credential("w", "x"), id="failed"),
    ],
)
def test_what_a_helper_says(output: bytes | None, found: Credential) -> None:
    """Without an answer, what is written counts."""
    content: dict[str, Json] = {"credsStore": "all", "auths": {"r.io": {"auth": auth("w", "x")}}}
    assert from_docker("r.io", content, lambda name, registry: output) == found


def test_the_hub_has_another_name() -> None:
    content: dict[str, Json] = {"auths": {"https://index.docker.io/v1/": {"auth": auth("a", "b")}}}
    assert from_docker("registry-1.docker.io", content, nobody) == Credential("a", "b")
    assert from_docker("r.io", content, nobody) is None


def test_a_configuration_that_others_may_write_is_not_followed(tmp_path: Path) -> None:
    environ = config(tmp_path, auths={"r.io": {"auth": auth("a", "b")}})
    assert find("r.io", environ, nobody) == Credential("a", "b")
    (tmp_path / "config.json").chmod(0o666)
    assert find("r.io", environ, nobody) is None


def test_a_real_helper(tmp_path: Path) -> None:
    """It gets the registry on its input and the user's environment."""
    program = tmp_path / "docker-credential-test"
    program.write_text('#!/bin/sh\nread -r host\n[ "$1" = get ] && printf \'{"Username": "%s", "Secret": "%s"}\' "$host" "$SECRET"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    environ = config(tmp_path, credsStore="test") | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SECRET": "s"}
    before = os.environ["PATH"]
    os.environ["PATH"] = environ["PATH"]
    try:
        assert find("r.io", environ) == Credential("r.io", "s")
    finally:
        os.environ["PATH"] = before
    assert ask_helper("is-not-there", "r.io", environ) is None


def test_secrets_are_not_shown() -> None:
    assert "hidden" not in repr(Credential("me", "hidden"))
