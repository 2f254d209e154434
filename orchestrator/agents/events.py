"""What an agent says and does, from the bytes that it prints, and whether that was a success. Pure.

``exit 0`` proves nothing: agents end with it after refused tools, errors of the API and streams that broke off. A stream is read for
what the agent says about its own end; one that does not say it is no success.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

from orchestrator.agents.dialects.base import Dialect as Reading
from orchestrator.agents.dialects.claude import Claude
from orchestrator.agents.dialects.codex import Codex
from orchestrator.agents.dialects.gemini import Gemini
from orchestrator.agents.dialects.opencode import Opencode
from orchestrator.agents.dialects.pi import Pi
from orchestrator.agents.dialects.qwen import Qwen
from orchestrator.agents.dialects.text import Text
from orchestrator.agents.schema import NO_TOKENS, SCHEMA, AgentEvent, Kind, Result, Tokens, ToolKind, as_json, clean
from orchestrator.model.agent import Dialect

__all__ = [
    "SCHEMA", "AgentEvent", "AgentUse", "Kind", "Reader", "Result", "Tokens", "ToolKind", "Verdict", "as_json", "judge", "reader",
]  # fmt: skip

LINE_BYTES = 1 << 20
_HEAD_BYTES = 200

_READINGS: Mapping[Dialect, type[Reading]] = {
    "claude": Claude, "codex": Codex, "gemini": Gemini, "opencode": Opencode, "pi": Pi, "qwen": Qwen, "text": Text,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class AgentUse:
    """One run of an agent, for reports. ``turns``: replies of the model. ``cost_usd``: None where the agent reports none. ``error``: why
    ``result`` is not ``success``. ``final_text``: the last thing it said."""

    session: str | None = None
    model: str | None = None
    turns: int = 0
    tool_calls: int = 0
    denials: int = 0
    tokens: Tokens = NO_TOKENS
    cost_usd: float | None = None
    result: Result = "unknown"
    error: str | None = None
    final_text: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``text``: why it is no success; empty when it is one."""

    success: bool
    text: str


class _Lines:
    """Bytes in, lines out, each with its size; of one that is too long only the beginning is kept."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._size = 0

    def feed(self, data: bytes) -> Iterator[tuple[bytes, int]]:
        begin = 0
        while (end := data.find(b"\n", begin)) >= 0:
            self._keep(data, begin, end)
            yield self._take()
            begin = end + 1
        self._keep(data, begin, len(data))

    def rest(self) -> Iterator[tuple[bytes, int]]:
        """A last line without its end."""
        if self._size:
            yield self._take()

    def _keep(self, data: bytes, begin: int, end: int) -> None:
        self._size += end - begin
        if self._size <= LINE_BYTES:
            self._rest += memoryview(data)[begin:end]
        else:
            if len(self._rest) < _HEAD_BYTES:
                self._rest += memoryview(data)[begin : min(end, begin + _HEAD_BYTES)]
            del self._rest[_HEAD_BYTES:]

    def _take(self) -> tuple[bytes, int]:
        line, size = bytes(self._rest), self._size
        self._rest.clear()
        self._size = 0
        return line, size


class Reader:
    """Bytes in, events out; how the bytes are cut into pieces changes nothing. Never raises for what it reads."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._out, self._err = _Lines(), _Lines()
        self._ended = False
        self._tool_calls = self._denials = 0
        self._final_text = ""

    def feed(self, data: bytes) -> list[AgentEvent]:
        """The events of the lines that ``data``, of standard output, completes."""
        return [] if self._ended else self._noted(event for line in self._out.feed(data) for event in self._complete(*line))

    def feed_aside(self, data: bytes) -> list[AgentEvent]:
        """The same for standard error, which is for people: only what its stream does not tell is read from it."""
        return [] if self._ended else self._noted(event for line in self._err.feed(data) for event in self._aside(*line))

    def finish(self, exit_code: int | None) -> list[AgentEvent]:
        """The last events; the very last is the ``end``, once. ``exit_code``: None when the agent was ended, or is lost."""
        if self._ended:
            return []
        last = self._noted(self._last(exit_code))
        self._ended = True
        return [*last, self._end()]

    @property
    def use(self) -> AgentUse:
        """As far as it was read."""
        reading = self._reading
        error = None if reading.result == "success" else reading.why or None
        return AgentUse(
            reading.session, reading.model, reading.turns, self._tool_calls, self._denials, reading.tokens, reading.cost_usd,
            reading.result, error, self._final_text,
        )  # fmt: skip

    def _complete(self, line: bytes, size: int) -> Iterator[AgentEvent]:
        if line.startswith(self._reading.noise or b"\n"):
            return
        text = line.decode("utf-8", "backslashreplace")
        if size > LINE_BYTES:
            yield AgentEvent("text", clean(f"[a line of {size:,} bytes is left out; it begins: {text}]"))
        else:
            yield from self._line(text.removesuffix("\r"))

    def _line(self, text: str) -> Iterator[AgentEvent]:
        if not self._reading.structured:
            yield AgentEvent("text", clean(text))
        elif (document := _parsed(text)) is not None:
            yield from self._reading.read(document)
        elif text.strip():
            yield from self._reading.plain(clean(text))

    def _aside(self, line: bytes, size: int) -> Iterator[AgentEvent]:
        if size <= LINE_BYTES:
            yield from self._reading.aside(line.decode("utf-8", "backslashreplace"))

    def _last(self, exit_code: int | None) -> Iterator[AgentEvent]:
        for line in self._err.rest():
            yield from self._aside(*line)
        for line in self._out.rest():
            yield from self._complete(*line)
        yield from self._reading.rest(exit_code)

    def _noted(self, events: Iterable[AgentEvent]) -> list[AgentEvent]:
        found = list(events)
        for event in found:
            self._tool_calls += event.kind == "tool"
            self._denials += event.kind == "denial"
            if event.kind == "text" and event.parent is None and event.text.strip():
                self._final_text = event.text
        return found

    def _end(self) -> AgentEvent:
        reading = self._reading
        said_something = bool(self._tool_calls or self._final_text)
        if reading.structured and reading.result == "success" and not said_something:
            reading.result, reading.why = "error", "the agent ended without a word and without a tool call"
        elif reading.result == "unknown" and not reading.why:
            reading.why = "the agent's output broke off before it said how it ended" if said_something else "the agent said nothing"
        text = "" if reading.result == "success" else reading.why
        return AgentEvent(
            "end", clean(text), ok=reading.result == "success", session=reading.session, model=reading.model, tokens=reading.tokens,
            cost_usd=reading.cost_usd, turns=reading.turns, status=reading.result,
        )  # fmt: skip


def reader(dialect: Dialect) -> Reader:
    """A reader for one run."""
    return Reader(_READINGS[dialect]())


def judge(use: AgentUse, exit_code: int | None) -> Verdict:
    """Whether the agent did what it was started for, as far as it says so itself; ``use`` is that of a finished reader."""
    if use.result == "error":
        return Verdict(False, use.error or "the agent reported an error")
    if exit_code is None:
        return Verdict(False, "the agent was ended before it was done")
    if exit_code:
        return Verdict(False, f"{use.error} (exit code {exit_code})" if use.error else f"exit code {exit_code}")
    if use.result == "unknown":
        return Verdict(False, use.error or "the agent did not say how it ended")
    return Verdict(True, "")


def _parsed(text: str) -> Mapping[str, object] | None:
    """A JSON object, or None."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        document = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
