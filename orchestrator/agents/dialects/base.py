"""What every dialect keeps while it reads: totals, who was called and denied, and how it looks to end."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, TypeVar

from orchestrator.agents.schema import AgentEvent, Result, Tokens, bounded, clean, record, rows, tool_kind, word, words

CALLS_MOST = 1024  # open calls that are remembered; the oldest are forgotten
OUR_DENIAL = "aienv: "  # how a refusal of our hook begins, where the agent shows it as the tool's error

T = TypeVar("T")


class Dialect:
    """Reads one stream. State: the totals so far, and ``result`` as it would be if the stream ended now.

    ``structured``: the agent says how it ended. ``noise``: beginnings of lines that are left out unread. ``why``: the cause of a failure.
    """

    structured: ClassVar[bool] = True
    noise: ClassVar[tuple[bytes, ...]] = ()

    def __init__(self) -> None:
        self.tokens = Tokens()
        self.cost_usd: float | None = None
        self.turns = 0
        self.session: str | None = None
        self.model: str | None = None
        self.result: Result = "unknown"
        self.why = ""
        self._names: dict[str, str] = {}
        self._denied: dict[str, None] = {}

    def read(self, line: Mapping[str, object]) -> Iterator[AgentEvent]:
        """The events of one line, a JSON object."""
        raise NotImplementedError

    def plain(self, text: str) -> Iterator[AgentEvent]:
        """The events of a line that is no JSON object."""
        yield AgentEvent("text", text)

    def aside(self, text: str) -> Iterator[AgentEvent]:
        """The events of a line of standard error."""
        yield from ()

    def rest(self, exit_code: int | None) -> Iterator[AgentEvent]:
        """What was held back, at the end of the stream."""
        yield from ()

    def start(self) -> AgentEvent:
        return AgentEvent("start", session=self.session, model=self.model)

    def usage(self) -> AgentEvent:
        known = self.tokens if self.tokens.all else None  # some agents tell them at their end only
        return AgentEvent("usage", model=self.model, tokens=known, cost_usd=self.cost_usd, turns=self.turns)

    def tool(self, call: object, name: object, input: object) -> AgentEvent:
        own, id = word(name) or "?", word(call)
        if id is not None:
            remember(self._names, id, own)
        return AgentEvent("tool", tool=tool_kind(own), name=own, call=id, input=bounded(input))

    def tool_result(self, call: object, ok: bool, text: str) -> AgentEvent:
        id = word(call)
        own = self._names.get(id or "")
        return AgentEvent("result", clean(text), tool=tool_kind(own) if own else None, name=own, call=id, ok=ok)

    def denial(self, call: object, name: object, text: str, input: object = None) -> Iterator[AgentEvent]:
        """Once for each call, however often the agent says it."""
        id = word(call)
        if id is not None and id in self._denied:
            return
        own = word(name) or self._names.get(id or "")
        if id is not None:
            remember(self._denied, id, None)
        known = bounded(input) if input is not None else None
        yield AgentEvent("denial", clean(text), tool=tool_kind(own) if own else None, name=own, call=id, input=known, ok=False)

    def failed(self, why: str, status: str | None) -> AgentEvent:
        """An error that ends the run, unless the agent goes on."""
        self.result, self.why = "error", why or "the agent reported an error and no cause"
        return AgentEvent("error", self.why, status=status)


class Replies:
    """Counts replies of a model where the stream does not mark them: one begins with the first thing said after a tool's result."""

    def __init__(self) -> None:
        self._next = True

    def said(self) -> bool:
        """Whether this is the beginning of a reply."""
        began, self._next = self._next, False
        return began

    def answered(self) -> None:
        self._next = True


def content_text(value: object) -> str:
    """The text of a tool's result: a string, or blocks of it."""
    if isinstance(value, str):
        return words(value)
    return clean("\n".join(words(block.get("text")) for block in rows(value) if "text" in block))


def message_of(value: object) -> str:
    """An error's text: a string, or an object with a message, also inside ``data``."""
    if isinstance(value, str):
        return words(value)
    error = record(value)
    return words(error.get("message")) or words(record(error.get("data")).get("message")) or words(error.get("name"))


def remember(known: dict[str, T], key: str, value: T) -> None:
    """Add to what is known, and forget the oldest beyond a bound."""
    known[key] = value
    if len(known) > CALLS_MOST:
        del known[next(iter(known))]
