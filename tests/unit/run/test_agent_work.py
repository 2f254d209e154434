"""What an agent's own words make of an outcome."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.agents.events import reader
from orchestrator.model.agent import Native
from orchestrator.model.paths import paths_from
from orchestrator.model.plan import AgentPlan, Plan
from orchestrator.model.record import Outcome
from orchestrator.run.agent_limits import AgentWatch
from orchestrator.run.agent_output import AgentSink
from orchestrator.run.agent_work import Agent, described
from orchestrator.run.context import Context
from orchestrator.run.folder import RunFolder, run_folder
from orchestrator.run.output import OutputSink

CLAUDE = AgentPlan(
    "claude", ("claude",), "x", False, version="2.1.330", mode="auto", model="asked", dialect="claude", sessions=(".claude",)
)
BEGIN = b'{"type":"system","subtype":"init","session_id":"s1","model":"m1","tools":[]}\n'
SAID = b'{"type":"assistant","message":{"role":"assistant","content":[{"type":"text","text":"done"}]},"session_id":"s1"}\n'
RESULT = {
    "type": "result", "subtype": "success", "is_error": False, "num_turns": 2, "result": "done",
    "session_id": "s1", "total_cost_usd": 0.5,
}  # fmt: skip
GOOD = SAID + json.dumps(RESULT).encode() + b"\n"
BAD = b'{"type":"result","subtype":"success","is_error":true,"num_turns":1,"result":"API Error: 401","session_id":"s1"}\n'


@dataclass
class Planned:
    agent: AgentPlan


@dataclass
class Run:
    """What an agent's end takes of a context."""

    folder: RunFolder
    plan: Plan
    notes: list[str] = field(default_factory=list)


def ended(tmp_path: Path, output: bytes, outcome: Outcome, plan: AgentPlan = CLAUDE) -> tuple[Outcome, Any]:
    folder = run_folder(paths_from({"AIENV_HOME": str(tmp_path), "HOME": str(tmp_path)}), "0123456789")
    folder.run.mkdir(parents=True, exist_ok=True)
    context = cast(Context, Run(folder, cast(Plan, Planned(plan))))
    if plan.dialect == "text":
        sink: OutputSink = OutputSink(folder.agent_log, -1, -1, True, 1 << 20)
    else:
        sink = AgentSink(folder.agent_log, folder.run / "transcript.jsonl", -1, -1, True, 1 << 20, reader(plan.dialect))
    agent = Agent(context, sink, cast(AgentWatch, None))
    try:
        sink.stdout(output)
        return agent.finish(outcome)
    finally:
        agent.close()


DONE = Outcome(0, None, "exited", 1.0)


@pytest.mark.parametrize(
    ("output", "outcome", "problem"),
    [
        pytest.param(BEGIN + GOOD, DONE, False, id="done"),
        pytest.param(BEGIN + BAD, DONE, True, id="says-that-it-failed"),
        pytest.param(BEGIN, DONE, True, id="no-end"),
        pytest.param(b"", DONE, True, id="nothing"),
        pytest.param(b"\xff\x00{{{\n[]\n", DONE, True, id="no-events"),
        pytest.param(BEGIN, replace(DONE, reason="timeout", exit_code=124), False, id="out-of-time-already"),
        pytest.param(BEGIN, replace(DONE, reason="interrupted", exit_code=None), False, id="interrupted-already"),
    ],
)
def test_the_agents_own_word(tmp_path: Path, output: bytes, outcome: Outcome, problem: bool) -> None:
    """It counts where nothing else ended the agent."""
    found, record = ended(tmp_path, output, outcome)
    assert (found.problem is not None) == problem
    assert replace(found, problem=None) == outcome
    assert record.profile == "claude"


def test_what_is_recorded(tmp_path: Path) -> None:
    """Its model and session as it names them, its use, and where the files are."""
    _, record = ended(tmp_path, BEGIN + GOOD, DONE)
    assert (record.session, record.model, record.mode, record.version) == ("s1", "m1", "auto", "2.1.330")
    assert (record.cost_usd, record.text) == (0.5, "done")
    assert record.transcript.endswith("/0123456789/transcript.jsonl")
    assert record.sessions.endswith("/0123456789/sessions")
    assert ended(tmp_path / "other", BEGIN, DONE, replace(CLAUDE, sessions=()))[1].sessions is None


def test_an_agent_without_events(tmp_path: Path) -> None:
    found, record = ended(tmp_path, GOOD, DONE, replace(CLAUDE, dialect="text"))
    assert (found, record) == (DONE, described(CLAUDE))


def test_before_it_has_said_anything() -> None:
    assert described(CLAUDE).native is None
    assert described(replace(CLAUDE, native=Native("earlier", "s"))).native == "earlier"
    assert described(CLAUDE).model == "asked"
