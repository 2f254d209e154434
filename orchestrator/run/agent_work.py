"""The agent's output while it works, what is read from it, and what it comes to."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from orchestrator.agents import schema
from orchestrator.agents.budget import Budget, Finding
from orchestrator.agents.schema import AgentEvent
from orchestrator.model.plan import AgentPlan
from orchestrator.model.record import AgentRecord, Outcome
from orchestrator.run.agent_limits import AgentWatch
from orchestrator.run.context import Context
from orchestrator.run.folder import TRANSCRIPT
from orchestrator.run.interrupts import Interrupts
from orchestrator.run.output import OutputSink

MAX_REMEMBERED_BYTES = 1 << 20
MAX_REMEMBERED_LINES = 1000


@dataclass(frozen=True, slots=True)
class Streams:
    """Where the agent's output goes, and whether it has our terminal. ``events``: JSON lines in place of words, where it has events."""

    stdout: int
    stderr: int
    quiet: bool
    tty: bool
    events: bool = False


@dataclass(frozen=True, slots=True)
class Agent:
    """One command's output. ``finish`` once it has ended, then ``close``."""

    context: Context
    sink: OutputSink
    watch: AgentWatch

    def finish(self, outcome: Outcome) -> tuple[Outcome, AgentRecord]:
        """The outcome, with what the agent itself said about it."""
        record = described(self.context.plan.agent)
        if self.context.plan.agent.dialect == "text":
            return outcome, record
        from orchestrator.agents.events import judge
        from orchestrator.run.agent_output import AgentSink

        assert isinstance(self.sink, AgentSink)
        use = self.sink.finish(outcome.exit_code)
        verdict = judge(use, outcome.exit_code)
        if outcome.reason == "exited" and not verdict.success:
            outcome = replace(outcome, problem=verdict.text)
        counts = [(field.name, int(getattr(use.tokens, field.name))) for field in fields(use.tokens)]
        return outcome, replace(
            record,
            model=use.model or record.model,
            session=use.session,
            turns=use.turns,
            tool_calls=use.tool_calls,
            denials=use.denials,
            tokens=tuple(pair for pair in counts if pair[1]),
            cost_usd=use.cost_usd,
            result=use.result,
            error=use.error,
            text=use.final_text,
            transcript=str(self.context.folder.run / TRANSCRIPT),
        )

    def close(self) -> None:
        self.sink.close()
        self.context.notes.extend(self.sink.notes)


def remembered(context: Context, sessions: str | None) -> AgentRecord:
    """What can be known of an agent when whoever heard it was killed: who it was, and its session by the first events it is said in."""
    record, path = described(context.plan.agent), context.folder.run / TRANSCRIPT
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            head = file.read(MAX_REMEMBERED_BYTES)
    except OSError:
        return replace(record, sessions=sessions)
    session, model = _said(head)
    return replace(record, session=session, model=model or record.model, transcript=str(path), sessions=sessions)


def _said(transcript: bytes) -> tuple[str | None, str | None]:
    """(session, model): of the start, else of any event. The last line may be half of one."""
    session: str | None = None
    model: str | None = None
    for line in transcript.splitlines()[:MAX_REMEMBERED_LINES]:
        try:
            event = schema.record(json.loads(line))
        except (ValueError, RecursionError):
            continue
        session, model = session or schema.word(event.get("session")), model or schema.word(event.get("model"))
        if session is not None and event.get("kind") == "start":
            break
    return session, model


def described(plan: AgentPlan) -> AgentRecord:
    """What is known before the agent has said anything."""
    return AgentRecord(plan.profile, plan.version, plan.mode, plan.model, native=plan.native.run if plan.native is not None else None)


def open_agent(context: Context, streams: Streams, interrupts: Interrupts) -> Agent:
    """Where the agent's output goes, and the watch over what it may use."""
    plan, limit = context.plan.agent, context.plan.limits.output_bytes
    watch = AgentWatch(Budget(plan.max_cost_usd, plan.max_turns, plan.idle_s), _teller(context, interrupts))
    if plan.dialect == "text":
        return Agent(context, _Heard(context, streams, limit, watch), watch)
    from orchestrator.agents.events import reader
    from orchestrator.run.agent_output import AgentSink

    folder = context.folder
    sink = AgentSink(
        folder.agent_log, folder.run / TRANSCRIPT, streams.stdout, streams.stderr, streams.quiet, limit, reader(plan.dialect),
        stream=streams.events, on_event=_recorder(context, watch), on_output=watch.heard,
    )  # fmt: skip
    return Agent(context, sink, watch)


class _Heard(OutputSink):
    """Output without events: still a sign of life."""

    def __init__(self, context: Context, streams: Streams, limit: int, watch: AgentWatch) -> None:
        super().__init__(context.folder.agent_log, streams.stdout, streams.stderr, streams.quiet, limit)
        self._watch = watch

    def stdout(self, data: bytes) -> None:
        self._watch.heard()
        super().stdout(data)

    def stderr(self, data: bytes) -> None:
        self._watch.heard()
        super().stderr(data)


def _teller(context: Context, interrupts: Interrupts) -> Callable[[Finding], None]:
    def tell(finding: Finding) -> None:
        if finding.kind == "stop":
            interrupts.inbox.put("budget")
        else:
            context.progress.say(finding.text)
            context.hooks.notify(f"{finding.text}. Finish what you are doing, and commit it.")

    return tell


def _recorder(context: Context, watch: AgentWatch) -> Callable[[AgentEvent], None]:
    from orchestrator.run.agent_output import audit_facts

    has_hooks = context.plan.agent.deny is not None

    def take(event: AgentEvent) -> None:
        watch.event(event)
        # With hooks the broker writes each call itself, before it is made.
        if (found := audit_facts(event)) is not None and not (has_hooks and found[0] == "agent.tool"):
            context.recorder.event(*found)

    return take
