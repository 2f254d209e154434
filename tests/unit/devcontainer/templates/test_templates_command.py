"""``aienv templates`` and ``aienv init --template`` from the outside."""

import json
from pathlib import Path

import pytest

from orchestrator.cli.main import run_command_line


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIENV_HOME", str(tmp_path / "home"))
    (tmp_path / "p").mkdir()
    monkeypatch.chdir(tmp_path / "p")
    return tmp_path / "p"


def run(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run_command_line(list(words))
    return code, *capfd.readouterr()


def test_ls(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, output, _ = run(capfd, "templates", "ls")
    assert code == 0
    assert "python             1.0.0    Python with pip" in output
    code, output, _ = run(capfd, "templates", "ls", "--json")
    python = next(one for one in json.loads(output) if one["id"] == "python")
    assert python["options"]["buildTools"] == {
        "type": "boolean", "default": "true", "description": "A C compiler and Python's headers, for packages that come as source.",
    }  # fmt: skip
    assert python["options"]["baseImage"]["proposals"][0] == "debian:bookworm"
    assert set(python) == {"id", "version", "name", "description", "options"}


def test_show(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, output, _ = run(capfd, "templates", "show", "java")
    assert code == 0
    assert "--option buildTool=...   default 'maven'; one of maven, ant, none" in output
    assert "brings .devcontainer/Dockerfile" in output
    found = json.loads(run(capfd, "templates", "show", "java", "--json")[1])
    assert found["files"] == [".devcontainer/Dockerfile", ".devcontainer/devcontainer.json"]
    assert found["origin"] == "built in"


def test_apply(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, output, errors = run(
        capfd, "templates", "apply", "java", "--option", "jdk=21", "--feature", 'ghcr.io/a/b:1={"v": "2"}', "--feature", "./mine"
    )
    assert (code, errors) == (0, "")
    assert output == "wrote .devcontainer/Dockerfile\nwrote .devcontainer/devcontainer.json\n"
    assert "ARG JDK=21\n" in (folder / ".devcontainer/Dockerfile").read_text()
    text = (folder / ".devcontainer/devcontainer.json").read_text()
    assert '"ghcr.io/a/b:1": {\n\t\t\t"v": "2"\n\t\t},\n\t\t"./mine": {}' in text
    assert text.startswith("// ")


def test_apply_elsewhere(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "sub").mkdir()
    words = ("templates", "apply", "cpp", "--workspace-folder", "sub", "--omit", ".devcontainer/Dockerfile", "--json")
    code, output, _ = run(capfd, *words)
    assert code == 0
    assert json.loads(output) == {"files": ["./.devcontainer/devcontainer.json"]}
    code, output, errors = run(capfd, *words)
    assert code == 2
    assert json.loads(output)["error"]["code"] == "template-exists"
    assert "--force overwrites them" in errors
    assert run(capfd, *words, "--force")[0] == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("apply", "pyhton"), 6, "perhaps 'python'?"),
        (("show", "pyhton"), 6, "perhaps 'python'?"),
        (("apply", "./absent"), 6, "is no folder"),
        (("apply", "python", "--workspace-folder", "absent"), 6, "is no folder"),
        (("apply", "python", "--option", "buildTools"), 2, "--option is NAME=VALUE, not 'buildTools'"),
        (("apply", "python", "--option", "=x"), 2, "--option is NAME=VALUE"),
        (("apply", "python", "--option", "buildTool=true"), 2, "perhaps 'buildTools'?"),
        (("apply", "python", "--option", "buildTools=ja"), 2, "true or false"),
        (("apply", "python", "--option", 'baseImage=a" b'), 0, ""),
        (("apply", "python", "--feature", "node"), 2, "the feature 'node' is a bare name"),
        (("apply", "python", "--feature", "ghcr.io/a/b:1=x"), 2, "are no JSON"),
        (("apply", "python", "--feature", "ghcr.io/a/b:1=[]"), 2, "are no JSON object"),
        (("apply",), 2, "Missing argument"),
        (("list",), 2, "No such command"),
    ],
)
def test_codes(folder: Path, capfd: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, said: str) -> None:
    """As docs/exit-codes.md has them; and what is wrong writes nothing."""
    found, _, errors = run(capfd, "templates", *words)
    assert found == code, errors
    assert said in errors
    assert code == 0 or not list(folder.iterdir())


def test_init(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Into the top of the work tree, beside the task; nothing at all where one of them is in the way."""
    (folder / ".git").mkdir()
    (folder / "sub").mkdir()
    code, output, _ = run(capfd, "init", "first", "--template", "go", "--json")
    assert code == 0
    files = [".devcontainer/Dockerfile", ".devcontainer/devcontainer.json"]
    assert json.loads(output) == {"files": files, "path": ".aienv/tasks/first.yaml"}
    assert run(capfd, "init", "second", "--template", "go")[0] == 2
    assert not (folder / ".aienv/tasks/second.yaml").exists()
    assert run(capfd, "init", "first", "--template", "rust")[0] == 2
    assert "golang" in (folder / ".devcontainer/Dockerfile").read_text()
    assert run(capfd, "init", "second", "--template", "rust", "--force")[0] == 0
    assert "cargo" in (folder / ".devcontainer/Dockerfile").read_text()
    assert run(capfd, "init", "third", "--template", "rusty")[0] == 6


def test_init_without(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, output, _ = run(capfd, "init", "--json")
    assert (code, json.loads(output)) == (0, {"path": ".aienv/tasks/first-task.yaml"})
    assert not (folder / ".devcontainer").exists()
