"""``read-configuration`` on a real engine, with the real docker and compose commands, beside the reference dev container CLI."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import clients
from tests.engine import Engine, image
from tests.integration.devcontainer.test_read_configuration import comparable, ours, set_environ

pytestmark = pytest.mark.docker

LABEL = "devcontainer.metadata"
ENTRIES = [
    {"remoteUser": "labelled", "remoteEnv": {"P": "${containerEnv:PATH}", "W": "${localWorkspaceFolder}"}},
    {"id": "f", "init": True},
]
IMAGE = "aienv-test/labelled:1"
CONFIG = {"image": IMAGE, "containerEnv": {"I": "${devcontainerId}"}, "remoteEnv": {"C": "${containerEnv:COLOUR}"}}
MERGED = "--include-merged-configuration"


@dataclass(frozen=True)
class Place:
    engine: Engine
    folder: Path
    reference: Path
    environ: Mapping[str, str]

    def lay(self, config: object, **files: str) -> None:
        (self.folder / ".devcontainer").mkdir(exist_ok=True)
        (self.folder / ".devcontainer/devcontainer.json").write_text(json.dumps(config))
        for name, content in files.items():
            (self.folder / ".devcontainer" / name.replace("_", ".")).write_text(content)

    @contextlib.contextmanager
    def container(self, labels: Mapping[str, str]) -> Iterator[str]:
        with contextlib.closing(self.engine.client()) as client:
            found = client.create_container(IMAGE, ["true"], environment={"COLOUR": "green"}, labels=dict(labels))["Id"]
            try:
                yield found
            finally:
                client.remove_container(found, force=True)

    def equal(self, *words: str) -> bool:
        """The reference and ours say the same, and no failure."""
        argv = ["read-configuration", "--workspace-folder", str(self.folder), *words]
        done = subprocess.run(
            [self.reference, *argv],
            env={**os.environ, **self.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        with pytest.MonkeyPatch.context() as monkeypatch:
            set_environ(monkeypatch, self.environ)
            found = comparable(ours(argv, self.capfd))
        assert found == comparable(json.loads(done.stdout))
        return True

    capfd: pytest.CaptureFixture[str]


@pytest.fixture
def place(engine: Engine, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Place:
    reference = clients.require(clients.dev_container_cli)
    assert isinstance(reference, Path)
    image(engine, "busybox", IMAGE, ["ENV PATH=/bin", f"LABEL {LABEL}={json.dumps(json.dumps(ENTRIES))}".replace("$", "\\$")])
    home = tmp_path / "home"
    environ = {"DOCKER_HOST": engine.address, "HOME": str(home), "AIENV_HOME": str(home), **clients.plugins(home)}
    return Place(engine, tmp_path, reference, environ, capfd)


def test_image(place: Place) -> None:
    place.lay(CONFIG)
    assert place.equal(MERGED)


def test_dockerfile(place: Place) -> None:
    place.lay({"build": {"dockerfile": "Dockerfile"}}, Dockerfile="ARG V=1\nFROM aienv-test/labelled:$V\nRUN true\n")
    assert place.equal(MERGED)


def test_container_of_the_folder(place: Place) -> None:
    place.lay(CONFIG)
    folder = str(place.folder)
    labels = {"devcontainer.local_folder": folder, "devcontainer.config_file": f"{folder}/.devcontainer/devcontainer.json"}
    with place.container({**labels, LABEL: json.dumps(ENTRIES[:1])}):
        assert place.equal()
        assert place.equal(MERGED)


def test_container_that_is_named(place: Place) -> None:
    place.lay(CONFIG)
    with place.container({"mine": "yes"}) as found:
        assert place.equal("--id-label", "mine=yes", MERGED)
        assert place.equal("--container-id", found[:12], MERGED)


def test_compose(place: Place) -> None:
    """The plugin, with a profile and a build; docker-compose 1.29, with an image."""
    service = f"services:\n  s:\n    profiles: [x]\n    build: {{context: ., args: {{V: '1'}}}}\n  t:\n    image: {IMAGE}\n"
    for name in "st":
        place.lay(
            {"dockerComposeFile": "c.yml", "service": name, "workspaceFolder": "/w"},
            c_yml=f"version: '3.9'\n{service}",
            Dockerfile="ARG V\nFROM aienv-test/labelled:$V\n",
        )
        assert place.equal(MERGED, "--docker-path", str(clients.docker_cli("26.1")))
    compose = clients.require(clients.compose_one)
    without_plugin = Place(
        place.engine, place.folder, place.reference, {**place.environ, "DOCKER_CONFIG": str(place.folder / "none")}, place.capfd
    )
    assert without_plugin.equal(MERGED, "--docker-path", str(clients.docker_cli("20.10")), "--docker-compose-path", str(compose))


def test_image_that_cannot_be_had(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference tries for some ten seconds; the error is ours to look at."""
    place.lay({"image": "aienv-test/none:1"})
    set_environ(monkeypatch, place.environ)
    assert ours(["read-configuration", "--workspace-folder", str(place.folder), MERGED], place.capfd) is None
