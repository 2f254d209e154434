"""One thing that an agent said or did, in the same words for every agent: the schema ``aienv.event/1``. Pure.

What an agent prints is written by a model that read a hostile repository: texts, inputs, names and numbers are bounded here, and
nothing of it is ever more than data.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from orchestrator.model.agent import Document, Value

SCHEMA = "aienv.event/1"

Kind = Literal["start", "text", "reasoning", "tool", "result", "denial", "usage", "error", "end"]
ToolKind = Literal["read", "write", "edit", "shell", "fetch", "mcp", "other"]
Result = Literal["success", "error", "unknown"]

TEXT_CHARS = 64 << 10
NAME_CHARS = 200
INPUT_CHARS = 32 << 10  # of all texts in one tool's input
INPUT_VALUES = 400
INPUT_DEPTH = 8
COUNT_MOST = 1 << 53  # what a JSON number holds exactly everywhere
COST_MOST_USD = 1e9


@dataclass(frozen=True, slots=True)
class Tokens:
    """``input``: without what came from a cache. ``output``: with the reasoning."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        names = ("input", "output", "cache_read", "cache_write")
        return Tokens(*(min(COUNT_MOST, getattr(self, name) + getattr(other, name)) for name in names))

    @property
    def all(self) -> int:
        return self.input + self.output + self.cache_read + self.cache_write


NO_TOKENS = Tokens()


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """Fields without a value are not said. ``docs/agents.md`` has the table.

    ``tool``: what kind of tool it is, ``name``: the agent's own name for it, ``call``: its id, which its result has, too. ``tokens``,
    ``cost_usd`` and ``turns`` are those of the whole run so far. ``parent``: the call that started the agent's own helper who did this;
    None for the agent itself. ``status``: of an error ``retry``, ``notice`` or the agent's own word for it; of an end its ``Result``.
    """

    kind: Kind
    text: str = ""
    tool: ToolKind | None = None
    name: str | None = None
    call: str | None = None
    input: Document | None = None
    ok: bool | None = None
    session: str | None = None
    model: str | None = None
    tokens: Tokens | None = None
    cost_usd: float | None = None
    turns: int | None = None
    status: str | None = None
    parent: str | None = None


_FIELDS = ("tool", "name", "call", "input", "ok", "session", "model", "cost_usd", "turns", "status", "parent")


def as_json(event: AgentEvent) -> Document:
    """The JSON object of one event; what is not said has no key."""
    document: Document = {"schema": SCHEMA, "kind": event.kind}
    if event.text:
        document["text"] = event.text
    document |= {name: value for name in _FIELDS if (value := getattr(event, name)) is not None}
    if (tokens := event.tokens) is not None:
        document["tokens"] = {name: getattr(tokens, name) for name in ("input", "output", "cache_read", "cache_write")}
    return document


TOOLS: Mapping[str, ToolKind] = {
    **dict.fromkeys(
        ("read", "read_file", "read_many_files", "notebookread", "view_image", "ls", "list", "list_directory", "glob", "grep",
         "grep_search", "search_file_content", "find"),
        "read",
    ),
    **dict.fromkeys(("write", "write_file"), "write"),
    **dict.fromkeys(("edit", "replace", "multiedit", "notebookedit", "patch", "apply_patch", "file_change"), "edit"),
    **dict.fromkeys(("bash", "run_shell_command", "command_execution", "shell", "exec_command"), "shell"),
    **dict.fromkeys(("webfetch", "websearch", "web_fetch", "web_search", "google_web_search"), "fetch"),
    "mcp_tool_call": "mcp",
}  # fmt: skip


def tool_kind(name: str) -> ToolKind:
    """What kind of tool an agent means by its own name for it. A tool of a server that does not say so is ``other``."""
    return "mcp" if name.startswith("mcp_") else TOOLS.get(name.lower(), "other")


def clean(text: str, limit: int = TEXT_CHARS) -> str:
    """``text`` that every encoder takes, of a bounded length."""
    cut = text if len(text) <= limit else f"{text[:limit]} [{len(text) - limit:,} more characters]"
    return cut.encode("utf-8", "backslashreplace").decode()


def word(value: object) -> str | None:
    """A name or an id."""
    return clean(value, NAME_CHARS) if isinstance(value, str) and value else None


def words(value: object) -> str:
    """A text of people or models; empty where it is none."""
    return clean(value) if isinstance(value, str) else ""


def count(value: object) -> int:
    """A number of something; 0 where it is none."""
    return max(0, min(COUNT_MOST, value)) if isinstance(value, int) and not isinstance(value, bool) else 0


def money(value: object) -> float | None:
    """An amount; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= COST_MOST_USD else None


def dollars(amount: float) -> str:
    """``$1.25``, ``$0.0069``."""
    return f"${amount:.2f}" if amount >= 0.1 or not amount else f"${amount:.4f}"


def record(value: object) -> Mapping[str, object]:
    """A JSON object; an empty one where it is none."""
    return value if isinstance(value, dict) else {}


def rows(value: object) -> list[Mapping[str, object]]:
    """The objects of a JSON array, not too many."""
    return [item for item in value[:INPUT_VALUES] if isinstance(item, dict)] if isinstance(value, list) else []


class _Room:
    """What one input may still hold."""

    def __init__(self) -> None:
        self.chars, self.values = INPUT_CHARS, INPUT_VALUES

    def text(self, text: str) -> str:
        kept = clean(text, self.chars)
        self.chars = max(0, self.chars - len(text))
        return kept

    def value(self, value: object, depth: int) -> Value:
        self.values -= 1
        match value:
            case None | bool():
                return value
            case int():
                return value if abs(value) <= COUNT_MOST else "[a large number]"
            case float():
                return value if math.isfinite(value) else None
            case str():
                return self.text(value)
            case list() if depth:
                return [self.value(item, depth - 1) for item in value if self.values > 0]
            case dict() if depth:
                return {clean(str(key), NAME_CHARS): self.value(item, depth - 1) for key, item in value.items() if self.values > 0}
        return "[...]"


def bounded(value: object) -> Document:
    """A tool's input, cut to a size that can be kept; what is no object becomes one."""
    kept = _Room().value(value, INPUT_DEPTH)
    return kept if isinstance(kept, dict) else {} if kept is None else {"value": kept}
