"""``aienv policy show``: the configuration's deny rules as an agent gets them."""

import json
from pathlib import Path

import pytest

from orchestrator.cli.main import run_command_line


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No repository around, and a configuration of its own."""
    for name in ("CONFIG", "STATE", "CACHE", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.delenv("AIENV_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def configure(folder: Path, text: str) -> None:
    (folder / "config" / "aienv").mkdir(parents=True)
    (folder / "config" / "aienv" / "config.yaml").write_text(text)


def test_files_with_their_places(capsys: pytest.CaptureFixture[str]) -> None:
    """On by default: secret files, commands that fetch, tools that read the web, hooks."""
    assert run_command_line(["policy", "show", "--agent", "codex"]) == 0
    out = capsys.readouterr().out
    assert "# codex: permission_mode bypass, hooks on\n" in out
    assert "# /etc/codex/requirements.toml (the agent cannot change it)\n" in out
    assert 'token = "curl"' in out
    assert "hook.py codex pre" in out


def test_json(somewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the user adds and lifts is in it."""
    configure(somewhere, "deny:\n  run: [git push]\n  except: [curl, .envrc]\n  fetch: false\nhooks: false\n")
    assert run_command_line(["policy", "show", "--agent", "claude", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    (file,) = shown["files"]
    assert (shown["schema"], shown["hooks"], file["path"]) == ("aienv.agent-policy/1", False, "/etc/claude-code/managed-settings.json")
    denied = file["content"]["permissions"]["deny"]
    assert "Bash(git push:*)" in denied
    assert not {"Bash(curl:*)", "Read(//**/.envrc)", "WebFetch"} & set(denied)
    assert "hooks" not in file["content"]


@pytest.mark.parametrize("agent", ["claude", "codex", "opencode", "gemini", "qwen", "pi", "aider", "mini-swe-agent", "command"])
def test_every_agent_can_be_shown(agent: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["policy", "show", "--agent", agent]) == 0
    assert capsys.readouterr().out.startswith(f"# {agent}: ")


def test_unknown_agent(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["policy", "show", "--agent", "nobody"]) == 2
    assert "'nobody'" in capsys.readouterr().err
