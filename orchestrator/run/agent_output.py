"""The output of an agent whose events can be read: to people in their words, or to a program as events.

``agent.log`` has the bytes as they came, ``transcript.jsonl`` the events. As with any output, a slow terminal holds the agent up, and
no longer does when the run is being stopped; a full disk ends nothing.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from orchestrator.agents.events import AgentUse, Reader
from orchestrator.agents.schema import AgentEvent
from orchestrator.model.codec import canonical_json
from orchestrator.report.agent_lines import AgentLines, subject
from orchestrator.report.text import printable
from orchestrator.repos.failures import redact
from orchestrator.run.output import OutputSink
from orchestrator.run.transcript import Transcript, timed

SUBJECT_CHARS = 200
WIDTH_WITHOUT_TERMINAL = 160


def _no_event(_: AgentEvent) -> None:
    return


def _no_output() -> None:
    return


class AgentSink(OutputSink):
    """A sink for the launcher client. ``stream``: JSON lines of events on standard output in place of words.

    ``on_event`` and ``on_output`` (for each piece of output, of both kinds) are called from the thread that brings the output, after it
    is kept and before it is shown: what they learn does not wait for a terminal.
    """

    def __init__(
        self, log: Path, transcript: Path, stdout: int, stderr: int, quiet: bool, limit: int, reader: Reader, *,
        stream: bool = False, on_event: Callable[[AgentEvent], None] = _no_event, on_output: Callable[[], None] = _no_output,
        clock: Callable[[], float] = time.monotonic, width: int = WIDTH_WITHOUT_TERMINAL,
    ) -> None:  # fmt: skip
        super().__init__(log, stdout, stderr, quiet, limit)
        try:
            self._transcript = Transcript(transcript, limit)
        except OSError:
            super().close()
            raise
        self._reader, self._stream, self._lines = reader, stream, AgentLines(width)
        self._on_event, self._on_output = on_event, on_output
        self._clock, self._begin_s = clock, clock()
        self._torn = False

    def stdout(self, data: bytes) -> None:
        self._keep(data)
        self._on_output()
        self._take_events(self._reader.feed(data))

    def stderr(self, data: bytes) -> None:
        self._on_output()
        super().stderr(data)
        self._take_events(self._reader.feed_aside(data))

    def finish(self, exit_code: int | None) -> AgentUse:
        """The agent has ended: its last events, and all of its use. Call it once the output has come, before ``close``."""
        self._take_events(self._reader.finish(exit_code))
        return self._reader.use

    def close(self) -> None:
        self._transcript.close()
        super().close()

    @property
    def use(self) -> AgentUse:
        return self._reader.use

    @property
    def notes(self) -> tuple[str, ...]:
        return (*super().notes, *((note,) if (note := self._transcript.note) else ()))

    def _held_up(self) -> None:
        self._on_output()  # it is not the agent that is silent

    def _take_events(self, events: Iterable[AgentEvent]) -> None:
        for event in events:
            at_s = self._clock() - self._begin_s
            self._transcript.write(event, at_s)
            self._on_event(event)
            if text := self._shown(event, at_s):
                # Half a line, from when the terminal was not waited for, must not spoil the next one.
                self._torn = not self._show(self._stdout, b"\n" + text if self._torn else text)

    def _shown(self, event: AgentEvent, at_s: float) -> bytes:
        if self._stream:
            return canonical_json(timed(event, at_s)) + b"\n"
        return "".join(f"{line}\n" for line in self._lines.of(event)).encode("utf-8", "backslashreplace")


def audit_facts(event: AgentEvent) -> tuple[str, Mapping[str, object]] | None:
    """The audit log's kind and facts of an event; None for one that it does not need.

    What a tool was given is there by its size and its subject (a command, a path), cut, and without what stands before ``@`` in
    addresses; texts of the model are not there at all.
    """
    named = {"tool": event.tool, "name": event.name, "call": event.call}
    match event.kind:
        case "tool":
            return "agent.tool", {**named, "subject": _short(subject(event)), "input_bytes": len(canonical_json(event.input))}
        case "denial":
            return "agent.denial", {**named, "reason": _short(event.text)}
        case "end":
            tokens = event.tokens
            counts = {"input": tokens.input, "output": tokens.output} if tokens is not None else {}
            used = {"turns": event.turns, "tokens": counts, "cost_usd": event.cost_usd}
            return "agent.end", {"status": event.status, "reason": _short(event.text), **used}
    return None


def _short(text: str) -> str:
    return printable(redact(text)[:SUBJECT_CHARS])
