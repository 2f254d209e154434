"""pi, ``--mode json``. Read from the streams of 0.73.1.

Its updates repeat the whole message for every piece of it, and its last line the whole conversation: they are left out unread. The end
of a message has all there is. It exits with 0 also after an error; the last message's reason tells.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from orchestrator.agents.dialects.base import OUR_DENIAL, Dialect, content_text
from orchestrator.agents.schema import AgentEvent, Tokens, count, money, record, rows, word, words


class Pi(Dialect):
    noise: ClassVar[tuple[bytes, ...]] = tuple(
        b'{"type":"%s"' % name for name in (b"message_update", b"message_start", b"turn_end", b"agent_end", b"tool_execution_update")
    )

    def read(self, line: Mapping[str, object]) -> Iterator[AgentEvent]:
        match line.get("type"):
            case "session":
                self.session = word(line.get("id"))
                yield self.start()
            case "turn_start":
                self.result, self.why = "unknown", ""
            case "message_end":
                yield from self._message(record(line.get("message")))
            case "tool_execution_start":
                yield self.tool(line.get("toolCallId"), line.get("toolName"), line.get("args"))
            case "tool_execution_end":
                yield from self._tool_end(line)
            case "auto_retry_start":
                yield AgentEvent("error", f"{words(line.get('errorMessage'))}; trying again", status="retry")

    def _message(self, message: Mapping[str, object]) -> Iterator[AgentEvent]:
        if message.get("role") != "assistant":
            return
        self.model = word(message.get("model")) or self.model
        for block in rows(message.get("content")):
            match block.get("type"):
                case "text" if text := words(block.get("text")):
                    yield AgentEvent("text", text)
                case "thinking" if text := words(block.get("thinking")):
                    yield AgentEvent("reasoning", text)
        reason = word(message.get("stopReason"))
        failed = reason in ("error", "aborted")
        self.turns += not failed
        usage = record(message.get("usage"))
        names = ("input", "output", "cacheRead", "cacheWrite")
        self.tokens += Tokens(*(count(usage.get(name)) for name in names))
        if (cost := money(record(usage.get("cost")).get("total"))) is not None:
            self.cost_usd = (self.cost_usd or 0.0) + cost
        yield self.usage()
        if failed:
            yield self.failed(words(message.get("errorMessage")), reason)
        else:
            self.result = "success" if reason == "stop" else "unknown"
            self.why = "" if reason in ("stop", "toolUse") else f"the last reply of the model was not finished ({reason})"

    def _tool_end(self, line: Mapping[str, object]) -> Iterator[AgentEvent]:
        text, failed = content_text(record(line.get("result")).get("content")), line.get("isError") is True
        if failed and text.startswith(OUR_DENIAL):
            yield from self.denial(line.get("toolCallId"), line.get("toolName"), text)
        yield self.tool_result(line.get("toolCallId"), not failed, text)
