"""The sink of an agent whose events can be read: log, transcript, what people see, who is told."""

import json
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.agents.budget import Budget, Finding
from orchestrator.agents.events import AgentEvent, Tokens, judge, reader
from orchestrator.run.agent_limits import AgentWatch
from orchestrator.run.agent_output import AgentSink, audit_facts
from orchestrator.run.transcript import Transcript

CAPTURED = Path(__file__).resolve().parent.parent.parent / "captured" / "agents"
HELLO = (CAPTURED / "claude-2.1.330-hello.jsonl").read_bytes()
DENIED = (CAPTURED / "claude-2.1.330-denied.jsonl").read_bytes()
COMMIT = "git add -A && git -c user.name=A -c user.email=a@example.invalid commit -q -m 'Add hello.txt' && git log --format=%s | head -1"


class Clock:
    """A second for each look."""

    now = 99.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(folder: Path, data: bytes, *, stream: bool = False, limit: int = 1 << 20) -> tuple[AgentSink, str, list[AgentEvent]]:
    """Everything that comes out, with an ordinary file as the terminal."""
    told: list[AgentEvent] = []
    with open(folder / "shown", "wb") as out:
        sink = AgentSink(
            folder / "agent.log", folder / "transcript.jsonl", out.fileno(), out.fileno(), False, limit, reader("claude"),
            stream=stream, on_event=told.append, clock=Clock(),
        )  # fmt: skip
        for at in range(0, len(data), 1000):
            sink.stdout(data[at : at + 1000])
        sink.stderr(b"raw \xff\n")
        sink.finish(0)
        sink.close()
    return sink, (folder / "shown").read_text(errors="surrogateescape"), told


def test_people_see_words(tmp_path: Path) -> None:
    """The log has the bytes, the transcript the events with their seconds, people the lines; standard error passes."""
    sink, shown, told = run(tmp_path, HELLO)
    assert (tmp_path / "agent.log").read_bytes() == HELLO + b"raw \xff\n"
    assert shown.splitlines() == [
        "I will add a file.",
        "> write /workspaces/app/hello.txt",
        "< ok File created successfully at: /workspaces/app/hello.txt (file state is current in your context — no need to Read it back)",
        f"> shell {COMMIT}",
        "< ok Add hello.txt",
        "All done: hello.txt is committed.",
        "raw \udcff",
        "= success: 3 turns, 1,240 tokens in and 98 out, $0.0069",
    ]
    transcript = lines_of(tmp_path / "transcript.jsonl")
    assert [line["kind"] for line in transcript] == [event.kind for event in told]
    assert [line["at_s"] for line in transcript] == [float(n) for n in range(1, len(told) + 1)]
    assert {line["schema"] for line in transcript} == {"aienv.event/1"}
    assert judge(sink.use, 0).success
    assert sink.notes == ()


def test_a_program_sees_events(tmp_path: Path) -> None:
    """One JSON object in each line, the transcript's own; only what comes from standard error is none."""
    _, shown, _ = run(tmp_path, DENIED, stream=True)
    lines = [line for line in shown.splitlines() if line.startswith("{")]
    assert [json.loads(line) for line in lines] == lines_of(tmp_path / "transcript.jsonl")
    assert [json.loads(line)["kind"] for line in lines].count("denial") == 1


@pytest.mark.parametrize("limit", [0, 1, 700, 1500])
def test_a_transcript_is_bounded(tmp_path: Path, limit: int) -> None:
    """Whole lines below the limit, and the end, which says what is missing."""
    sink, _, told = run(tmp_path, HELLO, limit=limit)
    lines = lines_of(tmp_path / "transcript.jsonl")
    assert lines[-1]["kind"] == "end"
    assert lines[-1]["dropped"] == len(told) - len(lines)
    assert sum(len(json.dumps(line)) for line in lines[:-1]) <= limit * 1.2
    assert any("transcript.jsonl lacks" in note for note in sink.notes)


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """What this process writes to a file beyond ``size`` fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    transcript = Transcript(tmp_path / "transcript.jsonl", 1 << 20)
    with files_at_most(1000):
        for number in range(50):
            transcript.write(AgentEvent("text", f"line {number}"), float(number))
    transcript.write(AgentEvent("end", status="success"), 99.0)
    transcript.close()
    lines = lines_of(tmp_path / "transcript.jsonl")
    assert [line["kind"] for line in lines] == ["text"] * (len(lines) - 1) + ["end"]
    assert lines[-1]["dropped"] == transcript.dropped == 50 - (len(lines) - 1)
    assert transcript.note is not None
    assert "File too large" in transcript.note


def test_a_terminal_that_takes_nothing_is_left_after_detach(tmp_path: Path) -> None:
    """The log and the transcript have everything; the waiting is told, so that it does not count as the agent's silence."""
    source, terminal = os.pipe()
    os.set_blocking(terminal, False)
    try:
        while os.write(terminal, b"x" * 4096):
            pass
    except BlockingIOError:
        pass
    heard = threading.Semaphore(0)
    sink = AgentSink(
        tmp_path / "agent.log", tmp_path / "transcript.jsonl", terminal, terminal, False, 1 << 20, reader("claude"),
        on_output=heard.release,
    )  # fmt: skip
    thread = threading.Thread(target=sink.stdout, args=(HELLO,))
    thread.start()
    assert all(heard.acquire(timeout=10.0) for _ in range(3))  # the piece itself, and the waiting
    sink.detach()
    thread.join(10.0)
    assert not thread.is_alive()
    sink.finish(None)
    sink.close()
    assert (tmp_path / "agent.log").read_bytes() == HELLO
    assert lines_of(tmp_path / "transcript.jsonl")[-1]["kind"] == "end"
    os.close(source)
    os.close(terminal)


def test_a_reader_that_went_away_ends_nothing(tmp_path: Path) -> None:
    source, terminal = os.pipe()
    os.close(source)
    sink = AgentSink(tmp_path / "agent.log", tmp_path / "transcript.jsonl", terminal, terminal, False, 1 << 20, reader("claude"))
    sink.stdout(HELLO)
    assert sink.finish(0).turns == 3
    sink.close()
    os.close(terminal)
    assert (tmp_path / "agent.log").read_bytes() == HELLO


@pytest.mark.parametrize(
    ("event", "facts"),
    [
        pytest.param(
            AgentEvent("tool", tool="shell", name="Bash", call="c", input={"command": "git fetch https://me:secret@host/x\x1b"}),
            ("agent.tool", {"tool": "shell", "name": "Bash", "call": "c", "subject": "git fetch https://host/x\\x1b", "input_bytes": 54}),
            id="tool",
        ),
        pytest.param(
            AgentEvent("denial", "d" * 1000, tool="read", name="Read", call="c"),
            ("agent.denial", {"tool": "read", "name": "Read", "call": "c", "reason": "d" * 200}),
            id="denial",
        ),
        pytest.param(
            AgentEvent("end", "bad key", status="error", tokens=Tokens(5, 6), turns=2, cost_usd=0.1),
            ("agent.end", {"status": "error", "reason": "bad key", "turns": 2, "tokens": {"input": 5, "output": 6}, "cost_usd": 0.1}),
            id="end",
        ),
        pytest.param(AgentEvent("text", "secret"), None, id="text"),
        pytest.param(AgentEvent("result", "secret", ok=True), None, id="result"),
    ],
)
def test_facts_for_the_audit_log(event: AgentEvent, facts: object) -> None:
    """Sizes and subjects; nothing that the model said."""
    assert audit_facts(event) == facts


def used(cost_usd: float) -> AgentEvent:
    return AgentEvent("usage", cost_usd=cost_usd)


def test_a_budget_is_told_once() -> None:
    """A notice, one stop, and nothing after it."""
    told: list[Finding] = []
    watch = AgentWatch(Budget(max_cost_usd=1.0), told.append)
    watch.start()
    for cost in (0.5, 0.85, 1.2, 1.3):
        watch.event(used(cost))
    watch.close()
    watch.event(used(2.0))
    assert [finding.kind for finding in told] == ["notice", "stop"]
    assert watch.breach == told[1]
    assert watch.notes == [told[0].text]


def test_the_end_of_an_agent_stops_nothing() -> None:
    watch = AgentWatch(Budget(max_cost_usd=1.0), lambda _: None)
    watch.event(AgentEvent("end", cost_usd=5.0))
    assert watch.breach is None


def test_silence_is_told() -> None:
    """From a thread of its own, as long as nobody says anything."""
    stopped = threading.Event()
    watch = AgentWatch(Budget(idle_s=0.05), lambda finding: stopped.set() if finding.kind == "stop" else None)
    watch.start()
    assert stopped.wait(10.0)
    watch.close()
    assert watch.breach is not None
    assert "--idle-timeout" in watch.breach.text
