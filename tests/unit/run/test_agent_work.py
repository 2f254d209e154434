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
from orchestrator.run import agent_work
from orchestrator.run.agent_limits import AgentWatch
from orchestrator.run.agent_output import AgentSink
from orchestrator.run.agent_work import Agent, described, remembered
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
    assert record.sessions is None  # they are not kept yet


def test_an_agent_without_events(tmp_path: Path) -> None:
    found, record = ended(tmp_path, GOOD, DONE, replace(CLAUDE, dialect="text"))
    assert (found, record) == (DONE, described(CLAUDE))


def test_before_it_has_said_anything() -> None:
    assert described(CLAUDE).native is None
    assert described(replace(CLAUDE, native=Native("earlier", "s"))).native == "earlier"
    assert described(CLAUDE).model == "asked"


START = b'{"kind":"start","session":"s1","model":"m1"}\n'


@pytest.mark.parametrize(
    ("transcript", "known"),
    [
        pytest.param(START + b'{"kind":"message","session":"other"}\n', ("s1", "m1"), id="start"),
        pytest.param(b'{"kind":"text","text":"hi"}\n' + START, ("s1", "m1"), id="later"),
        pytest.param(b'{"kind":"start","model":"m1"}\n{"kind":"end","session":"s2"}\n', ("s2", "m1"), id="by-another-event"),
        pytest.param(START[:-5], (None, "asked"), id="half-a-line"),
        pytest.param(b"", (None, "asked"), id="empty"),
        pytest.param(b"\xff\n[]\n1\nnull\n" + b"[" * 100_000 + b"\n" + START, ("s1", "m1"), id="no-events"),
        pytest.param(b'{"kind":"start","session":7,"model":["x"]}\n', (None, "asked"), id="other-kinds"),
        pytest.param(b"{}\n" * 3000 + START, (None, "asked"), id="too-late"),
        pytest.param(b" " * agent_work.MAX_REMEMBERED_BYTES + START, (None, "asked"), id="too-far"),
    ],
)
def test_what_a_killed_run_knew(tmp_path: Path, transcript: bytes, known: tuple[str | None, str]) -> None:
    """Who it was, and the session that it named."""
    folder = run_folder(paths_from({"AIENV_HOME": str(tmp_path), "HOME": str(tmp_path)}), "0123456789")
    folder.run.mkdir(parents=True)
    (folder.run / "transcript.jsonl").write_bytes(transcript)
    record = remembered(cast(Context, Run(folder, cast(Plan, Planned(CLAUDE)))), "/kept")
    assert (record.session, record.model) == known
    assert (record.profile, record.version, record.sessions) == ("claude", "2.1.330", "/kept")
    assert record.transcript is not None


def test_a_killed_run_that_heard_nothing(tmp_path: Path) -> None:
    """Also where a link or a folder stands in the transcript's place."""
    folder = run_folder(paths_from({"AIENV_HOME": str(tmp_path), "HOME": str(tmp_path)}), "0123456789")
    folder.run.mkdir(parents=True)
    context = cast(Context, Run(folder, cast(Plan, Planned(CLAUDE))))
    assert remembered(context, None) == described(CLAUDE)
    (tmp_path / "other").write_bytes(START)
    (folder.run / "transcript.jsonl").symlink_to(tmp_path / "other")
    assert remembered(context, None) == described(CLAUDE)
    (folder.run / "transcript.jsonl").unlink()
    (folder.run / "transcript.jsonl").mkdir()
    assert remembered(context, None) == described(CLAUDE)
