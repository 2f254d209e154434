"""Docker in a dev container comes from a guard that lives and dies with it; prebuilds are found by what they are made of."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import clients
from tests.engine import Engine, image

pytestmark = pytest.mark.docker

IMAGE = "aienv-test/dev:1"
DEADLINE_S = 120.0
FEATURE = {
    "id": "docker-in-docker", "version": "1.0.0", "privileged": True, "entrypoint": "/usr/local/share/docker-init.sh",
    "mounts": [{"source": "dind-${devcontainerId}", "target": "/var/lib/docker", "type": "volume"}],
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    engine: Engine
    folder: Path
    home: Path

    def lay(self, config: object) -> None:
        (self.folder / ".devcontainer").mkdir(exist_ok=True)
        (self.folder / ".devcontainer/devcontainer.json").write_text(json.dumps(config))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "DOCKER_HOST": self.engine.address, "AIENV_HOME": str(self.home), "DOCKER_BUILDKIT": "0"}
        return subprocess.run(
            [sys.executable, "-m", "orchestrator", *words], env=environ, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=DEADLINE_S, check=False,
        )  # fmt: skip

    def ok(self, *words: str) -> Any:
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout


@pytest.fixture
def place(engine: Engine, tmp_path: Path) -> Iterator[Place]:
    image(engine, "debian", IMAGE)
    folder = tmp_path / "w"
    folder.mkdir()
    with tempfile.TemporaryDirectory(prefix="aienv-", dir="/tmp") as home:  # a socket's path is short
        yield Place(engine, folder, Path(home))


def test_docker_comes_from_a_guard(place: Place) -> None:
    docker = clients.require(lambda: clients.docker_cli("20.10"))
    feature = place.folder / ".devcontainer/docker-in-docker"
    feature.mkdir(parents=True)
    (feature / "devcontainer-feature.json").write_text(json.dumps(FEATURE))
    (feature / "install.sh").write_text("true\n")
    (place.folder / ".devcontainer/Dockerfile").write_text(f"FROM {IMAGE}\n")
    place.lay({"build": {"dockerfile": "Dockerfile"}, "remoteUser": "daemon", "features": {"./docker-in-docker": {}}})
    try:
        made = place.ok("up", "--mount", f"type=bind,source={docker},target=/usr/bin/docker,readonly")
        with place.engine.client() as client:
            found = client.inspect_container(made["containerId"])
            assert not found["HostConfig"]["Privileged"]
            assert {one["Destination"] for one in found["Mounts"]}.isdisjoint({"/var/lib/docker", "/var/run/docker.sock"})
            assert place.run("exec", "docker", "ps", "-q").stdout == ""  # not even the container itself
            inner = place.ok("exec", "docker", "run", "-d", "-v", "/workspaces/w:/x", IMAGE, "sleep", "100").strip()
            assert client.inspect_container(inner)["Mounts"][0]["Destination"] == "/x"
            refused = place.run("exec", "docker", "run", "--privileged", IMAGE, "true")
            assert "create.privileged" in refused.stderr
            place.ok("stop")
            assert [one["Id"] for one in client.containers(all=True)] == [made["containerId"]]
            place.ok("up")
            assert place.run("exec", "docker", "version").returncode == 0
    finally:
        place.ok("down")
    assert list((place.home / "devcontainers/guards").iterdir()) == []


def test_prebuild(place: Place) -> None:
    config = {
        "image": IMAGE, "containerEnv": {"A": "b"}, "onCreateCommand": "touch /made; echo on >>order",
        "updateContentCommand": "echo update >>order", "postCreateCommand": "echo post >>order",
    }  # fmt: skip
    place.lay(config)
    name = place.ok("prebuild")["imageName"][0]
    try:
        with place.engine.client() as client:
            assert client.containers(all=True) == []
        (place.folder / "order").unlink()
        made = place.ok("up")
        assert (place.folder / "order").read_text().split() == ["update", "post"]
        assert place.run("exec", "test", "-e", "/made").returncode == 0
        assert [(one["name"], one["hits"]) for one in place.ok("prebuild", "ls", "--json")] == [(name, 1)]
        assert place.ok("prebuild", "gc", "--all", "--json") == {"removed": [], "in_use": [name]}
        place.ok("down")
        place.lay({**config, "onCreateCommand": "true"})
        place.ok("up")
        with place.engine.client() as client:
            assert [one["Id"] == made["containerId"] for one in client.containers()] == [False]
            assert client.containers()[0]["Image"] == IMAGE
    finally:
        place.ok("down")
        assert place.ok("prebuild", "gc", "--all", "--json") == {"removed": [name], "in_use": []}


def test_a_prebuild_that_fails_leaves_nothing(place: Place) -> None:
    place.lay({"image": IMAGE, "onCreateCommand": "exit 3"})
    done = place.run("prebuild")
    assert done.returncode == 3
    assert json.loads(done.stdout)["description"] == "onCreateCommand from devcontainer.json failed."
    with place.engine.client() as client:
        assert client.containers(all=True) == []
    assert place.ok("prebuild", "ls", "--json") == []


def test_an_image_does_not_say_whose_a_container_is(place: Place, tmp_path: Path) -> None:
    """Labels of an image are its containers' too: a stranger's must not be found as that of another folder, or end another project."""
    other = tmp_path / "other"
    other.mkdir()
    (other / ".devcontainer.json").write_text(json.dumps({"image": IMAGE}))
    labels = {
        "devcontainer.local_folder": str(other), "devcontainer.config_file": f"{other}/.devcontainer.json", "mine": "yes",
        "com.docker.compose.project": "victim", "dev.aienv.devcontainer.guard": "0" * 16,
    }  # fmt: skip
    bad = "aienv-test/bad:1"
    image(place.engine, "debian", bad, [f"LABEL {name}={value}" for name, value in labels.items()])
    with place.engine.client() as client:
        victim = client.create_container(IMAGE, ["sleep", "1000"], labels={"com.docker.compose.project": "victim"})["Id"]
        try:
            client.start(victim)
            place.lay({"image": bad})
            made = place.ok("devcontainer", "up", "--workspace-folder", str(place.folder), "--id-label", "mine=yes")
            assert "composeProjectName" not in made
            assert place.run("exec", "--workspace-folder", str(other), "true").returncode == 6
            assert place.ok("devcontainer", "stop", "--id-label", "mine=yes")["containerId"] == made["containerId"]
            assert client.inspect_container(victim)["State"]["Running"]
            assert place.ok("devcontainer", "down", "--id-label", "mine=yes")["removed"] == [made["containerId"]]
            assert client.inspect_container(victim)["State"]["Running"]
        finally:
            client.remove_container(victim, force=True)
            client.remove_image(bad)
