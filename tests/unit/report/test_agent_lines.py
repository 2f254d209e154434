"""What people see of an agent's events."""

import pytest

from orchestrator.agents.schema import AgentEvent, Tokens
from orchestrator.report.agent_lines import AgentLines


@pytest.mark.parametrize(
    ("event", "lines"),
    [
        pytest.param(AgentEvent("text", "I look.\n\tThen I act.\n"), ["I look.", "        Then I act."], id="text"),
        pytest.param(AgentEvent("text", "\x1b]0;title\x07\x1b[2J\r"), ["\\x1b]0;title\\x07\\x1b[2J"], id="escapes"),
        pytest.param(AgentEvent("tool", tool="shell", input={"command": "git commit -m x"}), ["> shell git commit -m x"], id="shell"),
        pytest.param(AgentEvent("tool", tool="shell", input={"command": "cat <<E\nx\nE"}), ["> shell cat <<E …"], id="several-lines"),
        pytest.param(AgentEvent("tool", tool="write", name="Write", input={"file_path": "a.py"}), ["> write a.py"], id="write"),
        pytest.param(AgentEvent("tool", tool="mcp", name="mcp__pg__q", input={"query": "select 1"}), ["> mcp__pg__q select 1"], id="mcp"),
        pytest.param(AgentEvent("tool", tool="other", name="Task", input={}), ["> Task"], id="other"),
        pytest.param(AgentEvent("tool", tool="edit", input={"changes": [{"path": "a"}, {"path": "b"}, 3]}), ["> edit a b"], id="changes"),
        pytest.param(AgentEvent("tool", tool="shell", input={"command": "x" * 99}), [f"> shell {'x' * 50} …"], id="too-long"),
        pytest.param(AgentEvent("tool", tool="shell", input={"command": "ls\x1b[2J"}), ["> shell ls\\x1b[2J"], id="escape-in-a-command"),
        pytest.param(AgentEvent("result", "done\nmore", ok=True), ["< ok done …"], id="ok"),
        pytest.param(AgentEvent("result", "", ok=False), ["< failed"], id="failed"),
        pytest.param(AgentEvent("error", "503; trying again", status="retry"), ["~ 503; trying again"], id="retry"),
        pytest.param(AgentEvent("error", "bad key", status="api_error"), ["! bad key"], id="error"),
        pytest.param(AgentEvent("text", "one\ntwo", parent="c"), ["  one", "  two"], id="helper"),
        pytest.param(AgentEvent("reasoning", "hm"), [], id="reasoning"),
        pytest.param(AgentEvent("usage", turns=3), [], id="usage"),
        pytest.param(AgentEvent("start", session="s"), [], id="start"),
    ],
)
def test_lines(event: AgentEvent, lines: list[str]) -> None:
    assert AgentLines(width=60).of(event) == lines


def test_a_refusal_is_told_once() -> None:
    """Its result says the same; the next call's result is told."""
    lines = AgentLines()
    seen = [
        AgentEvent("denial", "by deny.run", tool="shell", call="1", input={"command": "git push"}),
        AgentEvent("result", "by deny.run", tool="shell", call="1", ok=False),
        AgentEvent("result", "fine", tool="shell", call="2", ok=True),
    ]
    assert [line for event in seen for line in lines.of(event)] == ["! denied shell git push: by deny.run", "< ok fine"]


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (AgentEvent("end", status="success", turns=1, tokens=Tokens(1000, 98, 240), cost_usd=0.00692),
         "= success: 1 turn, 1,240 tokens in and 98 out, $0.0069"),
        (AgentEvent("end", status="success", turns=3, tokens=Tokens(), cost_usd=1.5), "= success: 3 turns, $1.50"),
        (AgentEvent("end", status="success", tokens=Tokens()), "= success"),
        (AgentEvent("end", "bad key", status="error", tokens=Tokens()), "= failure: bad key"),
        (AgentEvent("end", "too many", status="error", turns=2, tokens=Tokens()), "= failure (2 turns): too many"),
        (AgentEvent("end", "it broke off", status="unknown", tokens=Tokens()), "= no end: it broke off"),
    ],
)  # fmt: skip
def test_ends(event: AgentEvent, line: str) -> None:
    assert AgentLines().of(event) == [line]
