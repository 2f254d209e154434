"""Sixty-five configurations after what public repositories have, property by property as often, through all that reads and judges them."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.devcontainer.life import hooks
from orchestrator.devcontainer.load import Asked, load
from orchestrator.devcontainer.merge import merge
from orchestrator.devcontainer.metadata import entries_for_new
from orchestrator.devcontainer.policy import container, localenv
from orchestrator.devcontainer.policy.container import Entry
from orchestrator.devcontainer.policy.dockerfeatures import satisfied
from orchestrator.devcontainer.policy.grants import Grants
from orchestrator.devcontainer.policy.verdict import WorkspaceGround

SHAPES = 65
FEATURES = [
    "git:1", "node:1", "docker-in-docker:2", "common-utils:2", "github-cli:1", "sshd", "java:1", "docker-outside-of-docker:1", "python:1",
]  # fmt: skip
SERVE = 'streamlit run "$FILE" --server.enableCORS false'

Choose = Callable[[random.Random], Any]


def one_of(*values: Any) -> Choose:
    return lambda chance: chance.choice(values)


def features(chance: random.Random) -> Any:
    names = chance.sample(FEATURES, chance.randint(1, 4))
    return {f"ghcr.io/devcontainers/features/{name}": chance.choice([{}, {"version": "latest"}, "lts", True]) for name in names}


# property -> how many of a hundred have it, and what they write
PROPERTIES: dict[str, tuple[int, Choose]] = {
    "name": (86, one_of("Python 3", "${localWorkspaceFolderBasename}", "C++ \u00e9")),
    "customizations": (66, one_of(
        {"vscode": {"extensions": ["ms-python.python"], "settings": {"a.b": True}}}, {"codespaces": {"openFiles": ["README.md"]}}, {},
    )),
    "features": (46, features),
    "remoteUser": (40, one_of("vscode", "root", "node")),
    "postCreateCommand": (37, one_of("npm install", ["pip", "install", "-e", "."], "bash .devcontainer/setup.sh || true", "")),
    "forwardPorts": (31, one_of([3000], [8501, "db:5432"], [])),
    "portsAttributes": (28, one_of({"8501": {"label": "App", "onAutoForward": "openPreview"}}, {"3000-3010": {}})),
    "extensions": (18, one_of(["a.b"], [])),
    "settings": (18, one_of({"terminal.integrated.shell.linux": "/bin/bash"},)),
    "postAttachCommand": (15, one_of({"server": SERVE}, {"server": SERVE, "log": ["tail", "-f", "x"]}, "git status")),
    "updateContentCommand": (12, one_of("[ -f requirements.txt ] && pip3 install --user -r requirements.txt; echo done", "yarn")),
    "postStartCommand": (9, one_of("git config --global --add safe.directory ${containerWorkspaceFolder}", "sudo service ssh start")),
    "runArgs": (9, one_of(
        ["--cap-add=SYS_PTRACE", "--security-opt", "seccomp=unconfined"], ["--env-file", ".env"], ["--network=host"], ["--name", "x"],
    )),
    "mounts": (8, one_of(
        ["source=/var/run/docker.sock,target=/var/run/docker.sock,type=bind"],
        ["source=${localEnv:HOME}${localEnv:USERPROFILE}/.ssh,target=/home/vscode/.ssh,type=bind,consistency=cached"],
        [{"source": "cache-${devcontainerId}", "target": "/cache", "type": "volume"}], ["type=tmpfs,target=/t"],
    )),
    "containerEnv": (6, one_of({"A": "${localEnv:A:b}", "N": 3, "E": ""})),
    "remoteEnv": (6, one_of({"PATH": "${containerEnv:PATH}:/x", "GONE": None})),
    "overrideCommand": (6, one_of(True, False)),
    "workspaceMount": (5, one_of("source=${localWorkspaceFolder},target=/workspace,type=bind,consistency=cached", "")),
    "shutdownAction": (3, one_of("none", "stopCompose", "stopContainer")),
    "initializeCommand": (2, one_of("docker pull x", ["make", "init"])),
    "appPort": (2, one_of(3000, ["8080:80", 9000])),
    "updateRemoteUserUID": (2, one_of(True, False)),
    "otherPortsAttributes": (2, one_of({"onAutoForward": "ignore"})),
    "init": (2, one_of(True)),
    "privileged": (2, one_of(True, False)),
    "capAdd": (2, one_of(["SYS_PTRACE"])),
    "securityOpt": (2, one_of(["seccomp=unconfined"])),
    "containerUser": (2, one_of("vscode")),
    "hostRequirements": (2, one_of({"cpus": 4, "memory": "8gb", "storage": "32gb"}, {"gpu": "optional"})),
    "waitFor": (2, one_of("onCreateCommand")),
    "secrets": (2, one_of({"TOKEN": {"description": "x"}})),
    "context": (2, one_of("..")),
}  # fmt: skip
KINDS: list[tuple[int, dict[str, Any]]] = [
    (35, {"image": "mcr.microsoft.com/devcontainers/python:1-3.11-bullseye"}),
    (18, {"build": {"dockerfile": "Dockerfile", "context": "..", "args": {"VARIANT": "3.11", "NODE_VERSION": "none"}}}),
    (5, {"dockerFile": "Dockerfile"}),
    (38, {"dockerComposeFile": "docker-compose.yml", "service": "app", "workspaceFolder": "/workspaces/${localWorkspaceFolderBasename}"}),
    (4, {"dockerComposeFile": ["../docker-compose.yml", "docker-compose.yml"], "service": "app", "runServices": ["db"]}),
]


WHO_HAS = {
    key: frozenset(random.Random(key).sample(range(SHAPES), max(1, round(SHAPES * percent / 100))))
    for key, (percent, _) in PROPERTIES.items()
}


def shape(number: int) -> dict[str, Any]:
    chance = random.Random(number)
    kind: dict[str, Any] = chance.choices([kind for _, kind in KINDS], [weight for weight, _ in KINDS])[0]
    return {**kind, **{key: value(chance) for key, (_, value) in PROPERTIES.items() if number in WHO_HAS[key]}}


@pytest.mark.parametrize("number", range(SHAPES))
def test_it_resolves(number: int, tmp_path: Path) -> None:
    config = shape(number)
    path = tmp_path / (".devcontainer.json" if number % 5 == 0 else ".devcontainer/devcontainer.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"// {config.get('name')}\n{json.dumps(config, indent=1)}")
    grants = Grants()
    found = load(Asked(str(tmp_path)), localenv.visible({"HOME": "/home/hidden", "A": "hidden"}, grants))
    assert "hidden" not in json.dumps(found.config)
    own = [{"id": name} for name in found.config.get("features", {})]  # type: ignore[union-attr]
    entries = entries_for_new((), own, found.config)
    merged = merge(found.config, entries)
    assert merged["privileged"] is bool(config.get("privileged"))
    asked = satisfied([Entry("x", entry) for entry in entries])
    verdict = container.judge(asked.entries, found.config, WorkspaceGround((str(tmp_path),)), grants)
    refused = {one.grant for one in verdict.findings}
    assert ("privileged" in refused) == bool(config.get("privileged"))
    assert ("initializeCommand" in refused) == ("initializeCommand" in config)
    assert asked.wants_docker == any("docker-" in name for name in config.get("features", {}))
    for hook in hooks.HOOKS:
        steps = hooks.steps(hook, entries, [str(number) for number in range(len(entries))])
        assert bool(steps) == bool(config.get(hook))


def test_shapes_differ() -> None:
    """And all properties are in some of them."""
    shapes = [shape(number) for number in range(SHAPES)]
    assert len({json.dumps(one) for one in shapes}) == SHAPES
    assert {key for one in shapes for key in one} >= set(PROPERTIES)
