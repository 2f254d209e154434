"""What the real programs gave a hook on its standard input, read as calls."""

import json
from pathlib import Path

import pytest

from orchestrator.agents.judge import Allow, Deny, ToolCall, judge_call, parse_call
from orchestrator.config.schema import SECRET_FILES
from orchestrator.model.agent import DenyRules

CAPTURED = Path(__file__).resolve().parents[2] / "captured" / "agents"
FILES = sorted(CAPTURED.glob("*-hooks.jsonl"))
RULES = DenyRules(SECRET_FILES, ("curl",), fetch=True)


def documents(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def calls(file: Path) -> list[ToolCall]:
    found = [parse_call(file.name.partition("-")[0], document) for document in documents(file)]
    assert all(isinstance(call, ToolCall) for call in found)
    return [call for call in found if isinstance(call, ToolCall)]


def test_there_are_some() -> None:
    assert {file.name.partition("-")[0] for file in FILES} == {"claude", "codex", "gemini", "opencode", "qwen"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_is_read(file: Path) -> None:
    """Where it was called, by what name, and what it wants."""
    for call in calls(file):
        assert call.cwd == "/work/repo"
        assert call.kind != "other"
        assert (call.command is not None) is (call.kind == "run")
        assert bool(call.paths) is (call.kind == "read")
        assert (call.id is not None) is not file.name.startswith("gemini")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_is_judged(file: Path) -> None:
    """A curl and a secret file are refused, the others pass."""
    for call in calls(file):
        answer = judge_call(call, RULES)
        named = "".join((call.command or "", *call.paths))
        assert isinstance(answer, Deny if "curl" in named or ".env" in named else Allow)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_before_and_after_belong_together(file: Path) -> None:
    """Events of hooks come in two kinds, and both are there."""
    assert len({str(document["hook_event_name"]) for document in documents(file)}) == 2
