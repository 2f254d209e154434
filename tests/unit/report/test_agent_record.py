"""What a report and its last lines say of the agent."""

from dataclasses import fields, replace
from typing import Any

import pytest

from orchestrator.config.document import read_document
from orchestrator.config.layers import Source, resolve
from orchestrator.model.agent import DenyRules, Native
from orchestrator.model.guard import NO_DOCKER_USE
from orchestrator.model.network import NO_USE
from orchestrator.model.plan import AgentText
from orchestrator.model.record import AgentRecord, Outcome, Teardown
from orchestrator.model.report import AuditFacts, RunRecord
from orchestrator.report.build import exit_code, report_document, status_of
from orchestrator.report.plan_text import plan_lines
from orchestrator.report.summary import summary_lines
from tests.unit.test_policy import plan as whole_plan

CLAUDE = AgentRecord(
    "claude", "2.1.330", "bypass", "m1", "s1", 3, 4, 1, (("input", 1200), ("output", 34)), 0.0712, "success", None, "done",
    "/f/transcript.jsonl", "/f/sessions",
)  # fmt: skip
ENDED = Outcome(0, None, "exited", 1.0)


def record(agent: AgentRecord | None = CLAUDE, outcome: Outcome | None = ENDED, **members: Any) -> RunRecord:
    found = RunRecord(
        id="r1", task="t", status=status_of(outcome, True), backend="local", isolation="sandbox", plan_digest="d", repo="/r",
        base_commit=None, docker_mode="none", network_mode="none", network=NO_USE, docker=NO_DOCKER_USE, outcome=outcome, harvest=None,
        delivery=None, setup=(), checks=(), audit=AuditFacts("a", "h", 0), timings={"total": 1.0}, teardown=Teardown((), ()), error=None,
        unlimited=(), notes=(), kept=None, recovered=False, folder="/f", agent=agent,
    )  # fmt: skip
    return replace(found, **members)


def test_the_report_has_all_of_it() -> None:
    """Tokens by kind; null before there was an agent."""
    found = report_document(record())["agent"]
    assert set(found) == {field.name for field in fields(AgentRecord)}
    assert (found["tokens"], found["session"], found["cost_usd"]) == ({"input": 1200, "output": 34}, "s1", 0.0712)
    assert report_document(record(None))["agent"] is None


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        pytest.param({}, "agent   claude 2.1.330, m1: 3 turns, 4 tool calls, 1 denial, 1,234 tokens, $0.07", id="all"),
        pytest.param(
            {"turns": 1, "tool_calls": 1, "denials": 0}, "agent   claude 2.1.330, m1: 1 turn, 1 tool call, 1,234 tokens, $0.07", id="one"
        ),
        pytest.param({"turns": 0, "denials": 0, "tokens": (), "cost_usd": None}, "agent   claude 2.1.330, m1", id="nothing-used"),
        pytest.param(
            {"version": "", "model": None, "turns": 0, "denials": 2, "tokens": (), "cost_usd": 0.0}, "agent   claude: 2 denials", id="bare"
        ),
    ],
)  # fmt: skip
def test_the_line_of_the_agent(changes: dict[str, Any], line: str) -> None:
    lines = summary_lines(record(replace(CLAUDE, **changes)))
    (found,) = [one for one in lines if one.startswith("agent ")]
    assert found == line


@pytest.mark.parametrize("member", ["model", "version", "session"])
def test_what_an_agent_says_is_made_harmless(member: str) -> None:
    lines = summary_lines(record(replace(CLAUDE, **{member: "m\x1b[2J\n\u202ex"})))  # type: ignore[arg-type]
    assert all(one.isprintable() for one in lines)


def test_a_plain_command_and_no_agent_have_none() -> None:
    for agent in (None, AgentRecord("command", "", "bypass", None)):
        assert not [one for one in summary_lines(record(agent)) if one.startswith(("agent ", "session "))]


@pytest.mark.parametrize(
    ("session", "sessions", "said"),
    [("s1", "/f/sessions", True), ("s1", None, False), (None, "/f/sessions", False), ("s\x1b[2J", "/f/sessions", True)],
)
def test_how_to_go_on(session: str | None, sessions: str | None, said: bool) -> None:
    """Only where a session was kept."""
    lines = summary_lines(record(replace(CLAUDE, session=session, sessions=sessions)))
    assert bool([one for one in lines if one.startswith("session ") and one.endswith("(aienv resume r1)")]) == said
    assert all(one.isprintable() for one in lines)


@pytest.mark.parametrize(
    ("outcome", "checks", "status", "code"),
    [
        pytest.param(ENDED, True, "succeeded", 0, id="done"),
        pytest.param(ENDED, False, "failed", 1, id="checks"),
        pytest.param(replace(ENDED, problem="it ended with an error"), True, "failed", 1, id="problem"),
        pytest.param(replace(ENDED, exit_code=2), True, "failed", 1, id="exit-code"),
        pytest.param(replace(ENDED, reason="limit"), True, "failed", 1, id="limit"),
        pytest.param(replace(ENDED, reason="timeout"), True, "timeout", 124, id="timeout"),
        pytest.param(replace(ENDED, reason="stopped"), True, "interrupted", 130, id="stopped"),
        pytest.param(None, True, "interrupted", 130, id="never"),
    ],
)
def test_status_and_exit_code(outcome: Outcome | None, checks: bool, status: str, code: int) -> None:
    """An agent that ends with 0 and says that it failed has failed."""
    found = status_of(outcome, checks)
    assert (found, exit_code(record(outcome=outcome, status=found))) == (status, code)


def test_a_problem_is_told() -> None:
    lines = summary_lines(record(outcome=replace(ENDED, problem="API error\x1b[31m 401")))
    (told,) = [one for one in lines if "has not done its work" in one]
    assert told.startswith("agent   has not done its work: API error")
    assert told.isprintable()
    assert not [one for one in summary_lines(record()) if "has not done its work" in one]


def test_a_plan_names_its_agent() -> None:
    """Which program, in which mode, with which files and servers; a plain command has a command alone."""
    plain = whole_plan(resolve([Source("user", read_document(b"{}", "user", "config").values)]))
    assert not any(line.startswith("agent:") for line in plan_lines(plain, "d"))
    files = (AgentText("/etc/x/y", "", True), AgentText("/home/agent/z", "", False))
    known = replace(plain.agent, profile="claude", version="1", mode="plan", deny=DenyRules())
    agent = replace(known, files=files, servers=("pg",), native=Native("r", "s"))
    lines = [" ".join(line.split()) for line in plan_lines(replace(plain, agent=agent), "d")]
    assert "agent: claude 1, its own model, permission mode plan, asks aienv before each tool call" in lines
    assert {"file: /etc/x/y (read-only)", "file: /home/agent/z", "mcp: pg", "session: s of run r"} <= set(lines)
