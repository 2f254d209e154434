"""Gemini CLI, ``--output-format stream-json``. Read from the streams of 0.61.0.

A text comes in pieces, which are put together here. Tokens come once, at the end, without a cost. Replies are not marked: the first
thing said after a tool's result begins one. A command that failed is a ``success`` whose output says its code.
"""

import re
from collections.abc import Iterator, Mapping

from orchestrator.agents.dialects.base import Dialect, Replies, message_of
from orchestrator.agents.schema import TEXT_CHARS, AgentEvent, Tokens, count, record, word, words

_EXITED = re.compile(r"(?m)\A(?:[^\n]*\n){0,3}?Command exited with code: [^0]")


class Gemini(Dialect):
    def __init__(self) -> None:
        super().__init__()
        self._replies = Replies()
        self._pieces: list[str] = []
        self._size = 0

    def read(self, line: Mapping[str, object]) -> Iterator[AgentEvent]:
        kind = line.get("type")
        if kind == "message" and line.get("role") == "assistant":
            yield from self._piece(words(line.get("content")), line.get("delta") is True)
            return
        yield from self._whole()
        match kind:
            case "init":
                self.session, self.model = word(line.get("session_id")), word(line.get("model"))
                yield self.start()
            case "tool_use":
                yield from self._reply()
                yield self.tool(line.get("tool_id"), line.get("tool_name"), line.get("parameters"))
            case "tool_result":
                yield from self._tool_result(line)
            case "error":
                yield AgentEvent("error", message_of(line.get("message")), status=word(line.get("severity")))
            case "result":
                yield from self._result(line)

    def rest(self, exit_code: int | None) -> Iterator[AgentEvent]:
        yield from self._whole()

    def _piece(self, text: str, delta: bool) -> Iterator[AgentEvent]:
        self.result = "unknown"
        if not text:
            return
        yield from self._reply()
        self._pieces.append(text)
        self._size += len(text)
        if not delta or self._size > TEXT_CHARS // 2:
            yield from self._whole()

    def _whole(self) -> Iterator[AgentEvent]:
        if self._pieces:
            text, self._pieces, self._size = "".join(self._pieces), [], 0
            yield AgentEvent("text", text)

    def _reply(self) -> Iterator[AgentEvent]:
        if self._replies.said():
            self.turns += 1
            yield self.usage()

    def _tool_result(self, line: Mapping[str, object]) -> Iterator[AgentEvent]:
        error = record(line.get("error"))
        text = words(line.get("output")) or message_of(error)
        if error.get("type") == "policy_violation":
            yield from self.denial(line.get("tool_id"), None, text)
        failed = line.get("status") != "success" or _EXITED.match(text) is not None
        yield self.tool_result(line.get("tool_id"), not failed, text)
        self._replies.answered()

    def _result(self, line: Mapping[str, object]) -> Iterator[AgentEvent]:
        stats = record(line.get("stats"))
        cached = count(stats.get("cached"))
        self.tokens = Tokens(max(0, count(stats.get("input_tokens")) - cached), count(stats.get("output_tokens")), cached)
        yield self.usage()
        if line.get("status") == "success":
            self.result, self.why = "success", ""
        else:
            yield self.failed(message_of(line.get("error")), word(record(line.get("error")).get("type")))
