"""``aienv devcontainer build`` as it is typed: what it prints, its exit codes, and a service of compose."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.main import run_command_line
from orchestrator.devcontainer.engine import Docker
from tests import clients
from tests.engine import Engine, image
from tests.integration.devcontainer.test_read_configuration import set_environ

pytestmark = pytest.mark.docker


@pytest.fixture
def environ(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    image(engine, "debian", "aienv-test/build:1")
    home = tmp_path / "home"
    home.mkdir()
    found = {"DOCKER_HOST": engine.address, "HOME": str(home), "AIENV_HOME": str(home), **clients.plugins(home)}
    set_environ(monkeypatch, found)
    return found


def lay(folder: Path, config: object, **files: str) -> None:
    (folder / ".devcontainer").mkdir(exist_ok=True)
    for name, content in {"devcontainer.json": json.dumps(config), **files}.items():
        (folder / ".devcontainer" / name).write_text(content)


def build(folder: Path, capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    capfd.readouterr()
    code = run_command_line(["devcontainer", "build", "--workspace-folder", str(folder), *words])
    output, _ = capfd.readouterr()
    assert output.count("\n") == 1
    return code, json.loads(output)


def config_of(environ: Mapping[str, str], name: str) -> Any:
    return Docker({**os.environ, **environ}, "/", lambda text: None).inspect("image", name)[0]["Config"]


def test_names_labels_and_errors(environ: Mapping[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lay(tmp_path, {"image": "aienv-test/build:1", "remoteUser": "games"})
    code, answer = build(tmp_path, capfd)
    assert (code, answer["outcome"]) == (0, "success")
    assert [name.partition(":")[0] for name in answer["imageName"]] == ["aienv-devcontainer/labelled"]
    names = ["aienv-test/mine:1", "aienv-test/mine:2"]
    given = [word for name in names for word in ("--image-name", name)]
    assert build(tmp_path, capfd, *given, "--label", "a=b") == (0, {"outcome": "success", "imageName": names})
    labels = config_of(environ, names[1])["Labels"]
    assert (labels["a"], json.loads(labels["devcontainer.metadata"])) == ("b", [{"remoteUser": "games"}])
    lay(tmp_path, {"build": {"dockerfile": "D"}}, D="FROM aienv-test/build:1\nRUN echo ouch; exit 3\n")
    code, answer = build(tmp_path, capfd)
    assert (code, answer["outcome"], answer["description"]) == (1, "error", "An error occurred building the image.")
    assert "ouch" in answer["message"]


@pytest.mark.slow
def test_a_service_of_compose(environ: Mapping[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    compose = "services:\n  s:\n    build: .\n    image: aienv-test/service:1\n"
    dockerfile = "FROM aienv-test/build:1\nENV G=1\nUSER games\n"
    config = {"dockerComposeFile": "c.yml", "service": "s", "containerEnv": {"C": "1"}, "features": {"./f": {}}}
    lay(tmp_path, config, **{"c.yml": compose, "Dockerfile": dockerfile})
    (tmp_path / ".devcontainer/f").mkdir()
    lay(tmp_path, config, **{"f/devcontainer-feature.json": '{"id": "f", "version": "1.0.0", "name": "f"}', "f/install.sh": "touch /f\n"})
    code, answer = build(tmp_path, capfd, "--docker-path", str(clients.require(lambda: clients.docker_cli("26.1"))))
    assert (code, answer["outcome"]) == (0, "success")
    found = config_of(environ, answer["imageName"][0])
    assert {"G=1", "C=1"} <= set(found["Env"])
    assert found["User"] == "games"
    assert [one.get("id") for one in json.loads(found["Labels"]["devcontainer.metadata"])] == ["./f", None]
    assert "devcontainer.metadata" not in (config_of(environ, "aienv-test/service:1")["Labels"] or {})  # what compose names stays its own
