"""``aienv agents`` as people and programs call it; nothing here reaches a registry."""

import json
import os
from pathlib import Path

import pytest

from orchestrator.agents.install import user_lock
from orchestrator.agents.lock import Lock, NpmPackage, dump
from orchestrator.cli.main import run_command_line

EXAMPLES = Path(__file__).resolve().parents[3] / "examples/agents"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIENV_HOME", str(tmp_path / "aienv"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_ls(capsys: pytest.CaptureFixture[str]) -> None:
    """The built-in ones, with the versions of their lock files; nothing is installed yet."""
    assert run_command_line(["agents", "ls", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert {"claude", "codex", "opencode", "gemini", "qwen", "pi", "aider", "mini-swe-agent"} <= set(rows)
    assert rows["claude"]["version"]
    assert not any(row["installed"] or row["problem"] or row["pinned"] for row in rows.values() if row["kind"] != "image")
    assert run_command_line(["agents", "ls"]) == 0
    assert "claude" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["claude", "codex", "opencode", "gemini", "qwen", "pi", "aider", "mini-swe-agent"])
def test_show(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["agents", "show", name]) == 0
    shown = capsys.readouterr().out
    assert "{prompt}" in shown
    assert "not installed" in shown
    assert run_command_line(["agents", "show", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["profile"]["name"] == name


def test_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["agents", "show", "claud"]) == 2
    assert "perhaps 'claude'?" in capsys.readouterr().err


def test_own(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Added, listed, shown, refused a second time with other content, removed."""
    given = home / "note-taker.yaml"
    given.write_bytes((EXAMPLES / "note-taker.yaml").read_bytes())
    assert run_command_line(["agents", "add", str(given), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "note-taker"
    assert run_command_line(["agents", "show", "note-taker"]) == 0
    assert "sh of the environment" in capsys.readouterr().out
    assert run_command_line(["agents", "add", str(given)]) == 0
    given.write_text(given.read_text().replace("Note taker", "Another"))
    assert run_command_line(["agents", "add", str(given)]) == 2
    assert run_command_line(["agents", "add", str(given), "--force"]) == 0
    assert run_command_line(["agents", "rm", "note-taker"]) == 0
    assert run_command_line(["agents", "show", "note-taker"]) == 2


@pytest.mark.parametrize(
    ("name", "text", "code", "because"),
    [
        pytest.param("claude.yaml", None, 2, "built-in agent", id="name-of-ours"),
        pytest.param("mine.yml", None, 2, "ends with .yaml", id="ending"),
        pytest.param("mine.yaml", "version: 1\nheadles: []\n", 2, "mine.yaml:2: headles: unknown key, perhaps 'headless'?", id="key"),
    ],
)
def test_not_added(home: Path, name: str, text: str | None, code: int, because: str, capsys: pytest.CaptureFixture[str]) -> None:
    (home / name).write_text(text or (EXAMPLES / "note-taker.yaml").read_text())
    assert run_command_line(["agents", "add", str(home / name)]) == code
    assert because in capsys.readouterr().err
    assert not (home / "aienv/agents" / name).exists()


def test_no_file() -> None:
    assert run_command_line(["agents", "add", "nowhere.yaml"]) == 6


def test_broken_manifest(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It does not hide the others."""
    (home / "aienv/agents").mkdir(parents=True)
    (home / "aienv/agents/mine.yaml").write_text("version: 1\n")
    assert run_command_line(["agents", "ls"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("mine") and "broken" in line for line in lines)
    assert any(line.startswith("claude") for line in lines)


def test_own_version(capsys: pytest.CaptureFixture[str]) -> None:
    """A lock file of the user's counts until it is reset."""
    name = "opencode-linux-x64"
    package = NpmPackage(f"node_modules/{name}", name, "9.9.9", "sha512-" + "A" * 86 + "==", 1)
    path = user_lock("opencode", os.environ)
    path.parent.mkdir(parents=True)
    path.write_bytes(dump(Lock("npm", name, "9.9.9", npm=(package,))))
    assert run_command_line(["agents", "ls"]) == 0
    assert any("9.9.9" in line and "(own version)" in line for line in capsys.readouterr().out.splitlines())
    assert run_command_line(["agents", "update", "opencode", "--reset"]) == 0
    assert not path.exists()
    assert run_command_line(["agents", "update", "--json"]) == 0
    assert capsys.readouterr().out.endswith("[]\n")


def test_nothing_to_test(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["agents", "test"]) == 2
    assert "aienv agents test claude" in capsys.readouterr().err
