"""The guard of a run, settled from files of the base commit and the user's own."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import BackendUnavailable
from orchestrator.guard.launch import Asked, EngineView, Tree, choose_mode, plan_guard
from orchestrator.model.guard import AllowedImage, GuardMode, GuardPlan, Pinning
from orchestrator.model.plan import BackendName
from orchestrator.model.task import DockerMode, GuardRules

ID = "sha256:" + "a" * 64
HERE = {"docker.io/library/redis:7": ID}
ENGINE = EngineView("unix:///nonexistent/engine.sock", False, (1, 41), HERE.get)
ASKED = Asked("auto", GuardRules(), "docker", {}, "/home/u/app", Path("/nonexistent"))
COMPOSE = """
services:
  db: {image: "redis:${VERSION:-7}"}
  web: {build: {context: web, dockerfile: Dockerfile.dev, args: {BASE: "debian:12"}}}
  tool: {build: {context: ., dockerfile_inline: "FROM alpine:3"}}
"""
WEB = "ARG BASE=nothing:1\nFROM $BASE AS one\nFROM scratch\nCOPY --from=one /a /a\nCOPY --from=ghcr.io/x/y:2 /b /b\n"


def tree(files: Mapping[str, str]) -> Tree:
    return Tree(
        lambda paths: frozenset(path for path in paths if path in files), lambda path: files[path].encode() if path in files else None
    )


def planned(files: Mapping[str, str], asked: Asked = ASKED, engine: EngineView = ENGINE) -> GuardPlan:
    found = plan_guard(asked, tree(files), lambda: engine)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("asked", "backend", "wants", "mode"),
    [
        ("auto", "docker", True, "guarded"),
        ("auto", "docker", False, "readonly"),
        ("auto", "local", True, None),
        ("none", "docker", True, None),
        ("readonly", "docker", True, "readonly"),
        ("guarded", "docker", False, "guarded"),
        ("guarded", "local", False, "guarded"),
        ("full", "docker", False, "full"),
    ],
)
def test_mode(asked: DockerMode, backend: BackendName, wants: bool, mode: GuardMode | None) -> None:
    """What was asked for; else by what the project is, and never by itself on this machine."""
    assert choose_mode(asked, backend, wants) == mode


def test_images_of_compose_files_and_what_they_build() -> None:
    """Services, the bases of their Dockerfiles with the arguments given, inline ones; each with its id, or to be pulled."""
    plan = planned({"compose.yaml": COMPOSE, "web/Dockerfile.dev": WEB})
    assert (plan.mode, plan.compose, plan.services[:1]) == ("guarded", ("compose.yaml",), ("db",))
    assert plan.images == (
        AllowedImage("docker.io/library/alpine:3", None, "dockerfile compose.yaml"),
        AllowedImage("docker.io/library/debian:12", None, "dockerfile web/Dockerfile.dev"),
        AllowedImage("docker.io/library/redis:7", ID, "compose compose.yaml"),
        AllowedImage("ghcr.io/x/y:2", None, "dockerfile web/Dockerfile.dev"),
    )


def test_variables_are_those_that_compose_has_inside() -> None:
    """The task's; not the repository's .env, which is masked inside, and not the user's."""
    plan = planned({"compose.yaml": COMPOSE, ".env": "VERSION=6"}, replace(ASKED, variables={"VERSION": "8"}))
    assert "docker.io/library/redis:8" in {image.reference for image in plan.images}
    assert "docker.io/library/redis:6" not in {image.reference for image in plan.images}


def test_images_of_dev_containers_are_for_no_session() -> None:
    """They are found again by their names, so nobody names, pulls or builds on them inside."""
    ours = "aienv-devcontainer/features:1"
    compose = f"services: {{a: {{image: {ours}}}, b: {{image: 'redis:7'}}}}"
    plan = planned({"compose.yaml": compose}, replace(ASKED, rules=GuardRules(images=(f"docker.io/{ours}",))))
    assert [image.reference for image in plan.images] == ["docker.io/library/redis:7"]
    assert [warning for warning in plan.warnings if "aienv-devcontainer" in warning]


def test_what_the_user_grants_and_devcontainers() -> None:
    """The user's word stands before a file's; devcontainer.json's image, build and compose files count."""
    files = {
        ".devcontainer/devcontainer.json": '{"dockerComposeFile": "../deploy/c.yaml", "build": {"dockerfile": "Dockerfile"} /* x */}',
        ".devcontainer/Dockerfile": "FROM mcr.example.org/base:1",
        "deploy/c.yaml": "services: {a: {image: redis:7}}",
        "Dockerfile": "FROM top:1",
    }
    rules = GuardRules(images=("redis:7", "../bad"))
    plan = planned(files, replace(ASKED, docker="guarded", rules=rules))
    assert {image.reference: image.origin for image in plan.images} == {
        "docker.io/library/redis:7": "guard.images",
        "mcr.example.org/base:1": "dockerfile .devcontainer/Dockerfile",
        "docker.io/library/top:1": "dockerfile Dockerfile",
    }
    assert plan.compose == ("deploy/c.yaml",)
    assert any("../bad" in warning for warning in plan.warnings)


def test_only_named_mcp_files(tmp_path: Path) -> None:
    """A file that the user named counts, with the part of this project; one that has no Docker servers changes no mode."""
    servers = {"mcpServers": {"t": {"command": "docker", "args": ["run", "-i", "--rm", "mcp/time"]}}}
    (tmp_path / "a.json").write_text(json.dumps({"projects": {"/home/u/app": servers, "/other": {"mcpServers": {}}}}))
    (tmp_path / "b.json").write_text(json.dumps({"mcpServers": {"n": {"command": "npx"}}}))
    asked = replace(ASKED, home=tmp_path)
    plan = planned({}, replace(asked, rules=GuardRules(mcp=("~/a.json", "/nonexistent.json"))))
    assert (plan.mode, plan.mcp) == ("guarded", ("~/a.json",))
    assert plan.images == (AllowedImage("docker.io/mcp/time:latest", None, "mcp ~/a.json"),)
    assert any("/nonexistent.json" in warning for warning in plan.warnings)
    assert planned({}, replace(asked, rules=GuardRules(mcp=(f"{tmp_path}/b.json",)))).mode == "readonly"


def test_reading_costs_nothing_more() -> None:
    """In mode readonly no image is looked up, no file read, no mount tried."""

    def look(reference: str) -> str | None:
        raise AssertionError(reference)

    def read(path: str) -> bytes | None:
        raise AssertionError(path)

    found = plan_guard(ASKED, Tree(lambda paths: frozenset(["Dockerfile"]), read), lambda: replace(ENGINE, look=look))
    assert found is not None
    assert (found.mode, found.images, found.warnings) == ("readonly", (), ())


@pytest.mark.parametrize(
    "files",
    [
        {"compose.yaml": "services: ["},
        {"compose.yaml": "a" * (2 << 20)},
        {"compose.yaml": "services: {a: {build: {context: ../.., dockerfile: x}}}"},
        {"compose.yaml": "services: {}", "Dockerfile": "\0"},
        {"compose.yaml": "services: {}", ".devcontainer.json": "["},
    ],
    ids=["yaml", "large", "outside", "dockerfile", "json"],
)
def test_what_cannot_be_read_allows_nothing(files: Mapping[str, str]) -> None:
    """A file of the repository stops no run; it is named, and gives no image."""
    plan = planned(files)
    assert (plan.mode, plan.images) == ("guarded", ())
    assert plan.warnings


def test_engines_that_no_guard_stands_before() -> None:
    """Asked for: refused with the cure; else the run is without Docker."""
    tls = replace(ENGINE, address="tcp://engine.example.org:2376", tls=True)
    assert plan_guard(ASKED, tree({}), lambda: tls) is None
    with pytest.raises(BackendUnavailable, match="certificates"):
        plan_guard(replace(ASKED, docker="readonly"), tree({}), lambda: tls)


def test_full_is_a_warning() -> None:
    """With no word about images."""
    plan = planned({"compose.yaml": COMPOSE}, replace(ASKED, docker="full"))
    assert (plan.mode, plan.images) == ("full", ())
    assert "root on this machine" in plan.warnings[0]


def test_nobody_to_suspend_locally() -> None:
    """Where a source could only be held by pausing the agent, and the agent is in no container, mounts are whole."""
    found = planned({}, replace(ASKED, docker="guarded", backend="local"))
    assert found.pinning in ("descriptor", "whole")


@pytest.mark.parametrize(
    ("secrets", "chosen", "pinning"),
    [
        (False, "subpath", "subpath"), (True, "subpath", "whole"), (True, "freeze", "whole"), (True, "descriptor", "descriptor"),
        (False, "freeze", "freeze"),
    ],
)  # fmt: skip
def test_secrets_under_masks(monkeypatch: pytest.MonkeyPatch, secrets: bool, chosen: Pinning, pinning: Pinning) -> None:
    """A part of the project that turns into another one at the last moment would have its own secrets, without masks over them."""
    asked: list[bool] = []

    def choose(api: tuple[int, int], daemon: str, *, euid: int, secrets: bool) -> Pinning:
        asked.append(secrets)
        return chosen

    monkeypatch.setattr("orchestrator.guard.launch.choose_pinning", choose)
    assert planned({}, replace(ASKED, docker="guarded", secrets=secrets)).pinning == pinning
    assert asked == [secrets]
