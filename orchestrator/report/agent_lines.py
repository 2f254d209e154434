"""An agent's events as lines for people: what it says as it is, what it does in one line each. Pure.

``>`` a tool, ``<`` its result, ``!`` a refusal or an error, ``~`` something it goes on after, ``=`` the end.
"""

from orchestrator.agents.schema import AgentEvent, dollars
from orchestrator.report.text import plural, printable

_SUBJECTS = ("command", "file_path", "filePath", "path", "url", "query", "pattern", "description", "prompt")
_DENIED_MOST = 1024


class AgentLines:
    """``width``: no line about a tool is longer. A refused call is told once: its result says the same."""

    def __init__(self, width: int = 160) -> None:
        self._width = max(20, width)
        self._denied: dict[str, None] = {}

    def of(self, event: AgentEvent) -> list[str]:
        """No line has a control character. What the agent's own helpers do is set in."""
        lines = self._of(event)
        return lines if event.parent is None else [f"  {line}" for line in lines]

    def _of(self, event: AgentEvent) -> list[str]:
        match event.kind:
            case "text":
                return [printable(line.expandtabs()) for line in event.text.rstrip().split("\n")]
            case "tool":
                return [self._one(">", tool_words(event))]
            case "denial":
                self._denied |= {event.call: None} if event.call and len(self._denied) < _DENIED_MOST else {}
                return [self._one("!", f"denied {tool_words(event)}: {event.text}")]
            case "result" if event.call not in self._denied:
                return [self._one("<", f"{'ok' if event.ok else 'failed'} {event.text.strip()}")]
            case "error":
                return [self._one("~" if event.status in ("retry", "notice") else "!", event.text)]
            case "end":
                return [self._one("=", summary(event))]
        return []

    def _one(self, mark: str, text: str) -> str:
        first, _, rest = text.strip().partition("\n")
        line = printable(f"{mark} {first.expandtabs()}".rstrip())
        more = bool(rest) or len(line) > self._width
        return f"{line[: self._width - 2].rstrip()} …" if more else line


def tool_words(event: AgentEvent) -> str:
    """``shell git commit -m x``: the kind of tool, or the agent's own name for one that has none, and what it is about."""
    name = event.tool if event.tool not in (None, "other", "mcp") else event.name or event.tool or "tool"
    return f"{name} {subject(event)}".rstrip()


def subject(event: AgentEvent) -> str:
    """What a tool is about: a command, a path, an address; empty when its input does not say."""
    known = event.input or {}
    for name in _SUBJECTS:
        if isinstance(value := known.get(name), str) and value:
            return value
    changes = known.get("changes")
    paths = [change.get("path") for change in changes if isinstance(change, dict)] if isinstance(changes, list) else []
    return " ".join(path for path in paths[:10] if isinstance(path, str))


def summary(event: AgentEvent) -> str:
    """``success: 3 turns, 1,240 tokens in and 98 out, $0.0069``; of a failure with its cause."""
    parts = [plural(event.turns, "turn")] if event.turns else []
    if (tokens := event.tokens) is not None and tokens.all:
        parts.append(f"{tokens.input + tokens.cache_read + tokens.cache_write:,} tokens in and {tokens.output:,} out")
    if event.cost_usd is not None:
        parts.append(dollars(event.cost_usd))
    words = {"success": "success", "error": "failure"}.get(event.status or "", "no end")
    used = ", ".join(parts)
    return f"{words}{f' ({used})' if event.text and used else ''}{f': {event.text or used}' if event.text or used else ''}"
