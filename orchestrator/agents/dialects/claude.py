"""Claude Code, ``--output-format stream-json --verbose``. Read from the streams of 2.1.330.

``subtype`` is ``success`` also for an error of the API: ``is_error`` and ``terminal_reason`` decide. Before its result, the tokens of a
reply are those that the API told at its beginning: the output is not among them. A denied call is told up to three times.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from orchestrator.agents.dialects.base import OUR_DENIAL, Dialect, content_text, remember
from orchestrator.agents.schema import NAME_CHARS, AgentEvent, Tokens, count, money, record, rows, word, words


class Claude(Dialect):
    def __init__(self) -> None:
        super().__init__()
        self._replies: dict[str, None] = {}  # lines of one reply have one id, and helpers speak between them

    def read(self, line: Mapping[str, object]) -> Iterator[AgentEvent]:
        match line.get("type"):
            case "system":
                yield from self._system(line)
            case "assistant":
                yield from _of_helper(line, self._assistant(line))
            case "user":
                yield from _of_helper(line, self._user(line))
            case "result":
                yield from self._result(line)

    def _system(self, line: Mapping[str, object]) -> Iterator[AgentEvent]:
        match line.get("subtype"):
            case "init" if self.session is None:  # it comes again when the agent goes on after a helper's end
                self.session, self.model = word(line.get("session_id")), word(line.get("model"))
                yield self.start()
            case "permission_denied":
                yield from self.denial(line.get("tool_use_id"), line.get("tool_name"), words(line.get("message")))
            case "api_retry":
                said = (line.get("error_status"), line.get("error"))
                cause = " ".join(str(part)[:80] for part in said if isinstance(part, str | int))
                yield AgentEvent("error", f"{cause or 'the model did not answer'}; trying again", status="retry")

    def _assistant(self, line: Mapping[str, object]) -> Iterator[AgentEvent]:
        message = record(line.get("message"))
        self.result = "unknown"
        if line.get("is_api_error_message") is True:
            self.result, self.why = "error", content_text(message.get("content"))  # its result says the same
            return
        if self.counts(message, word(line.get("parent_tool_use_id"))):
            yield self.usage()
        for block in rows(message.get("content")):
            match block.get("type"):
                case "text" if text := words(block.get("text")):
                    yield AgentEvent("text", text)
                case "thinking" if text := words(block.get("thinking")):
                    yield AgentEvent("reasoning", text)
                case "tool_use" | "server_tool_use" | "mcp_tool_use":
                    yield self.tool(block.get("id"), block.get("name"), block.get("input"))

    def counts(self, message: Mapping[str, object], parent: str | None) -> bool:
        """Add a reply's use; the turns of helpers are not the agent's. Whether it was a reply not counted yet."""
        id = f"{parent or ''} {words(message.get('id'))[:NAME_CHARS]}"
        if id in self._replies:
            return False
        remember(self._replies, id, None)
        self.model = self.model or word(message.get("model"))
        self.tokens += self.used(record(message.get("usage")))
        self.turns += parent is None
        return True

    def _user(self, line: Mapping[str, object]) -> Iterator[AgentEvent]:
        rejected = {word(meta.get("id")) for meta in rows(line.get("tool_result_meta")) if _is_rejected(meta)}
        for block in rows(record(line.get("message")).get("content")):
            if block.get("type") != "tool_result":
                continue
            call, text, failed = block.get("tool_use_id"), content_text(block.get("content")), block.get("is_error") is True
            if failed and (word(call) in rejected or self.is_denial(text)):
                yield from self.denial(call, None, text)
            yield self.tool_result(call, not failed and not self.is_failure(text), text)

    def used(self, usage: Mapping[str, object]) -> Tokens:
        names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        return Tokens(*(count(usage.get(name)) for name in names))

    def is_denial(self, text: str) -> bool:
        """Whether the error of a tool says that it was not allowed to run."""
        return text.startswith(OUR_DENIAL)

    def is_failure(self, text: str) -> bool:
        """Whether a result that is not called an error is one."""
        return False

    def _result(self, line: Mapping[str, object]) -> Iterator[AgentEvent]:
        for denied in rows(line.get("permission_denials")):
            yield from self.denial(denied.get("tool_use_id"), denied.get("tool_name"), "permission denied", denied.get("tool_input"))
        models = record(line.get("modelUsage"))
        # The sums by model have what was tried again and what was asked besides, and are what the cost is made from.
        said = _sum(_of_model(record(one)) for one in models.values()) if models else self.used(record(line.get("usage")))
        self.tokens = said if said.all else self.tokens
        self.cost_usd = money(line.get("total_cost_usd"))
        yield self.usage()
        text = words(line.get("result"))
        reason, subtype = word(line.get("terminal_reason")), word(line.get("subtype"))
        if line.get("is_error") is not False or subtype != "success" or reason not in (None, "completed"):
            yield self.failed(text or _joined(line.get("errors")), reason or subtype)
        elif (cause := self.hidden_failure(line.get("result"))) is not None:
            yield self.failed(cause, "api_error")
        else:
            self.result, self.why = "success", ""

    def hidden_failure(self, result: object) -> str | None:
        """The cause of a failure in what is called a success."""
        return None


def _of_helper(line: Mapping[str, object], events: Iterable[AgentEvent]) -> Iterator[AgentEvent]:
    parent = word(line.get("parent_tool_use_id"))
    return (replace(event, parent=parent) for event in events)


def _of_model(usage: Mapping[str, object]) -> Tokens:
    names = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")
    return Tokens(*(count(usage.get(name)) for name in names))


def _sum(all: Iterable[Tokens]) -> Tokens:
    total = Tokens()
    for one in all:
        total += one
    return total


def _is_rejected(meta: Mapping[str, object]) -> bool:
    return record(meta.get("permission_decision")).get("decision") == "reject"


def _joined(errors: object) -> str:
    return "; ".join(words(error) for error in errors[:10]) if isinstance(errors, list) else ""
