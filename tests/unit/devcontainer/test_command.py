"""``aienv devcontainer read-configuration`` from the outside: standard output, standard error, exit codes; with and without an engine."""

import json
import os
from pathlib import Path

import pytest

from orchestrator.cli.main import run_command_line

CONFIG = '{"image": "i", "name": "ünïcödé \\u001b[31m", "a": "${localEnv:PLACE}", "x": 1}'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".devcontainer.json").write_text(CONFIG)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PLACE", "here")
    monkeypatch.setenv("AIENV_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def docker(folder: Path, script: str) -> str:
    path = folder / "docker.sh"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def run(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run_command_line(["devcontainer", "read-configuration", *words])
    return code, *capfd.readouterr()


def test_without_an_engine(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What needs no engine is told without one; the folder is the current one."""
    code, output, errors = run(capfd)
    assert code == 0
    assert output.isascii()
    assert output.count("\n") == 1
    found = json.loads(output)
    assert found["configuration"]["a"] == "here"
    assert found["workspace"]["workspaceFolder"] == f"/workspaces/{folder.name}"
    assert "no container was looked for: docker cannot be run" in errors
    assert ".devcontainer.json: x is not known" in errors


@pytest.mark.parametrize("words", [("--id-label", "a=b"), ("--container-id", "c"), ("--include-merged-configuration",)])
def test_what_needs_an_engine(folder: Path, capfd: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    code, output, errors = run(capfd, "--workspace-folder", str(folder), *words)
    assert (code, output) == (1, "")
    assert "docker cannot be run" in errors
    assert "--docker-path" in errors


def test_an_engine_that_is_down(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    down = docker(folder, "echo 'Cannot connect to the Docker daemon at x. Is the docker daemon running?' >&2; exit 1")
    assert run(capfd, "--docker-path", down)[0] == 0
    assert run(capfd, "--docker-path", down, "--id-label", "a=b")[0] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--bogus",), "Unknown argument: --bogus"),
        (("--config", "none.json"), "none.json) not found"),
        (("--workspace-folder", "/nowhere"), "not found"),
        (("--additional-features", "[1]"), "--additional-features is no JSON object"),
        (("--additional-features", "{"), "--additional-features is no JSON: line 1, column 2"),
        (("--id-label", "x"), "name=value"),
    ],
)
def test_errors(folder: Path, capfd: pytest.CaptureFixture[str], words: tuple[str, ...], message: str) -> None:
    code, output, errors = run(capfd, *words)
    assert (code, output) == (1, "")
    assert message in errors


@pytest.mark.parametrize("words", [["features"], ["bogus", "--workspace-folder", "x"]])
def test_other_commands(capfd: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert run_command_line(["devcontainer", *words]) == 1
    output, errors = capfd.readouterr()
    assert output == ""
    assert f"Unknown argument: {words[0]}" in errors


def test_a_broken_file_has_its_place(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / ".devcontainer.json").write_text('{\n  "image": "i"\n  "a": 1}')
    assert ".devcontainer.json:3:3: expected ',' or '}'" in run(capfd)[2]


def test_log_of_a_program(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One object a line; what is run is among them."""
    _, _, errors = run(capfd, "--log-format", "json", "--user-data-folder", "/x")
    lines = [json.loads(line) for line in errors.splitlines()]
    assert {line["type"] for line in lines} == {"text"}
    assert any(line["text"].startswith("Run: docker ps") and line["level"] == 2 for line in lines)
    assert any("--user-data-folder changes nothing here" in line["text"] and line["level"] == 3 for line in lines)


def test_a_hostile_name_drives_no_terminal(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / ".devcontainer.json").write_text('{"image": "i", "\\u001b[31mred": 1}')
    _, output, errors = run(capfd)
    assert "\x1b" not in output + errors


def test_an_answer_that_is_none(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An engine's command that talks nonsense is an error of ours, not a crash."""
    code, output, errors = run(capfd, "--docker-path", docker(folder, "echo nonsense"))
    assert (code, output) == (1, "")
    assert "nonsense" in errors


def test_the_environment_is_not_logged(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    (folder / ".devcontainer.json").write_text('{"image": "i", "remoteEnv": {"T": "${localEnv:TOKEN}"}, "initializeCommand": 5}')
    _, output, errors = run(capfd, "--log-level", "trace")
    assert "s3cret" in output
    assert "s3cret" not in errors
    assert os.environ["TOKEN"] == "s3cret"


def test_templates_apply(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A command that has no --log-format."""
    words = ("templates", "apply", "--template-id", "python", "--workspace-folder", str(folder / "new"), "--log-level", "trace")
    assert run_command_line(["devcontainer", *words]) == 0
    files = json.loads(capfd.readouterr().out)["files"]
    assert "./.devcontainer/devcontainer.json" in files
    assert all((folder / "new" / name).exists() for name in files)
