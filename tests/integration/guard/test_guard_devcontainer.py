"""The reference dev container CLI before the guard: ``up`` and ``exec`` of a container from an image, with a hook and a volume."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import clients, engine
from tests.engine import Engine
from tests.guardian import Guardian, guarding

pytestmark = pytest.mark.docker

IMAGE = "aienv-test/debian:latest"


@dataclass(frozen=True)
class Folder:
    guard: Guardian
    project: Path
    command: Path
    extra: dict[str, str]

    def devcontainer(self, verb: str, *words: str, code: int | None = 0) -> str:
        argv = (self.command, verb, "--docker-path", str(clients.docker_cli("26.1")), "--workspace-folder", str(self.project), *words)
        return clients.client(self.guard, argv, cwd=self.project, code=code, **self.extra)


@pytest.fixture(scope="module")
def folder(engine26: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    command = clients.require(clients.dev_container_cli)
    assert isinstance(command, Path)
    engine.image(engine26, "debian")
    with clients.scratch() as scratch:
        project = scratch / "small"
        shutil.copytree(clients.APPS / "devcontainer", project)
        with guarding(engine26, project, "--allow-image", IMAGE) as guard:
            yield Folder(guard, project, command, clients.plugins(tmp_path_factory.mktemp("home")))


def test_up_and_exec(folder: Folder) -> None:
    found = json.loads(folder.devcontainer("up").splitlines()[-1])
    assert found["outcome"] == "success"
    assert (folder.project / "created.txt").read_text() == "created\n"
    inner = f"{found['remoteWorkspaceFolder']}"
    assert folder.devcontainer("exec", "sh", "-c", "echo $COLOUR; pwd; ls") == f"green\n{inner}\ncreated.txt\n"
    folder.devcontainer("exec", "sh", "-c", "exit 8", code=8)
    again = json.loads(folder.devcontainer("up").splitlines()[-1])
    assert again["containerId"] == found["containerId"]
    clients.client(folder.guard, ("docker", "rm", "--force", found["containerId"]))
