"""Codex, ``exec --json``. Read from the streams of 0.169.0.

A call that a rule or a hook denies is not in its stream at all: its standard error has it. Tokens come once, at the end, without a
cost. It does not mark the replies of its model: they are counted by what is said after a tool's result, so that two tools of one reply
that ran one after the other count as two.
"""

import re
from collections.abc import Iterator, Mapping

from orchestrator.agents.dialects.base import Dialect, Replies, content_text, message_of
from orchestrator.agents.schema import AgentEvent, Tokens, count, record, rows, word, words

_COMMANDS_MOST = 4000
_DENIED = (
    re.compile(r"error=exec_command failed: .{0,100}?Rejected\(\\?\"`(?P<command>.*)` rejected: (?P<why>.*?)\\?\"\)"),
    re.compile(r"error=Command blocked by PreToolUse hook: (?P<why>.*)\. Command: (?P<command>.*)"),
)


class Codex(Dialect):
    def __init__(self) -> None:
        super().__init__()
        self._replies = Replies()
        self._open: set[str] = set()

    def read(self, line: Mapping[str, object]) -> Iterator[AgentEvent]:
        match line.get("type"):
            case "thread.started":
                self.session = word(line.get("thread_id"))
                yield self.start()
            case "turn.started":
                self.result = "unknown"
            case "item.started":
                yield from self._item(record(line.get("item")), done=False)
            case "item.completed":
                yield from self._item(record(line.get("item")), done=True)
            case "error":
                text = words(line.get("message"))
                yield AgentEvent("error", text, status="retry") if text.startswith("Reconnecting...") else self.failed(text, None)
            case "turn.completed":
                self.tokens = _used(record(line.get("usage")))
                self.result, self.why = "success", ""
                yield self.usage()
            case "turn.failed":
                if (why := message_of(line.get("error"))) != self.why or self.result != "error":
                    yield self.failed(why, "turn.failed")

    def aside(self, text: str) -> Iterator[AgentEvent]:
        if "error=" not in text[:200]:
            return
        found = next((found for pattern in _DENIED if (found := pattern.search(text[:_COMMANDS_MOST])) is not None), None)
        if found is not None:
            yield from self._reply()
            yield from self.denial(None, "exec_command", found["why"], {"command": found["command"]})
            self._replies.answered()

    def _item(self, item: Mapping[str, object], done: bool) -> Iterator[AgentEvent]:
        kind = item.get("type")
        if kind == "error":
            yield AgentEvent("error", words(item.get("message")), status="notice")
        elif kind in ("agent_message", "reasoning"):
            if done and (text := words(item.get("text"))):
                yield from self._reply()
                yield AgentEvent("text" if kind == "agent_message" else "reasoning", text)
        elif kind in ("command_execution", "file_change", "mcp_tool_call", "web_search"):
            yield from self._tool(item, str(kind), done)

    def _tool(self, item: Mapping[str, object], kind: str, done: bool) -> Iterator[AgentEvent]:
        call = word(item.get("id")) or "?"
        if call not in self._open:
            yield from self._reply()
            self._open = {*list(self._open)[:100], call}
            yield self.tool(call, _name(item, kind), _input(item, kind))
        if done:
            self._open.discard(call)
            text = _output(item)
            if item.get("status") == "declined":
                yield from self.denial(call, None, text or "declined")
            failed = item.get("status") not in (None, "completed") or count(item.get("exit_code")) != 0 or bool(item.get("error"))
            yield self.tool_result(call, not failed, text)
            self._replies.answered()

    def _reply(self) -> Iterator[AgentEvent]:
        if self._replies.said():
            self.turns += 1
            yield self.usage()


def _name(item: Mapping[str, object], kind: str) -> str:
    return f"mcp__{words(item.get('server'))}__{words(item.get('tool'))}" if kind == "mcp_tool_call" else kind


def _input(item: Mapping[str, object], kind: str) -> object:
    if kind == "mcp_tool_call":
        return item.get("arguments")
    name = {"command_execution": "command", "file_change": "changes", "web_search": "query"}[kind]
    return {name: item.get(name)}


def _output(item: Mapping[str, object]) -> str:
    if text := words(item.get("aggregated_output")):
        return text
    if changes := rows(item.get("changes")):
        return "\n".join(f"{words(change.get('kind'))} {words(change.get('path'))}" for change in changes)
    return message_of(item.get("error")) or content_text(record(item.get("result")).get("content"))


def _used(usage: Mapping[str, object]) -> Tokens:
    cached, written = count(usage.get("cached_input_tokens")), count(usage.get("cache_write_input_tokens"))
    fresh = max(0, count(usage.get("input_tokens")) - cached - written)
    return Tokens(fresh, count(usage.get("output_tokens")), cached, written)
