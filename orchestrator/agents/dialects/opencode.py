"""opencode, ``run --format json``. Read from the streams of 1.18.33.

A step is a reply; the reason of the last one says how the run ended. A tool's line comes when the tool has ended. The cost is 0 for a
model that it has no prices of.
"""

from collections.abc import Iterator, Mapping

from orchestrator.agents.dialects.base import OUR_DENIAL, Dialect, message_of
from orchestrator.agents.schema import AgentEvent, Tokens, count, money, record, word, words

DENIALS = ("The user has specified a rule which prevents you", "The user rejected permission", OUR_DENIAL)


class Opencode(Dialect):
    def read(self, line: Mapping[str, object]) -> Iterator[AgentEvent]:
        part = record(line.get("part"))
        if self.session is None and (session := word(line.get("sessionID"))) is not None:
            self.session = session
            yield self.start()
        match line.get("type"):
            case "step_start":
                self.result, self.why = "unknown", ""
            case "text" if text := words(part.get("text")):
                yield AgentEvent("text", text)
            case "reasoning" if text := words(part.get("text")):
                yield AgentEvent("reasoning", text)
            case "tool_use":
                yield from self._tool(part)
            case "step_finish":
                yield self._finish(part)
            case "error":
                yield self.failed(message_of(line.get("error")), word(record(line.get("error")).get("name")))

    def _tool(self, part: Mapping[str, object]) -> Iterator[AgentEvent]:
        call, state = part.get("callID"), record(part.get("state"))
        yield self.tool(call, part.get("tool"), state.get("input"))
        error = words(state.get("error"))
        if error.startswith(DENIALS):
            yield from self.denial(call, None, error)
        ok = state.get("status") == "completed" and count(record(state.get("metadata")).get("exit")) == 0
        yield self.tool_result(call, ok, error or words(state.get("output")))

    def _finish(self, part: Mapping[str, object]) -> AgentEvent:
        said = record(part.get("tokens"))
        cache = record(said.get("cache"))
        output = count(said.get("output")) + count(said.get("reasoning"))
        self.tokens += Tokens(count(said.get("input")), output, count(cache.get("read")), count(cache.get("write")))
        if (cost := money(part.get("cost"))) is not None:
            self.cost_usd = (self.cost_usd or 0.0) + cost
        self.turns += 1
        reason = word(part.get("reason"))
        self.result = "success" if reason == "stop" else "unknown"
        self.why = "" if reason in ("stop", "tool-calls") else f"the last reply of the model was not finished ({reason})"
        return self.usage()
