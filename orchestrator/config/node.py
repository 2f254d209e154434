"""One value as somebody wrote it, with its place, before any key has judged it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

SIZE_LIMIT_BYTES = 256 * 1024  # of a file of configuration

# "word" comes from the command line or a variable: it has no type of its own, each parser may read it as it likes.
Kind = Literal["text", "integer", "number", "truth", "nothing", "word", "list", "map"]

KIND_NAMES: Mapping[Kind, str] = {
    "text": "text",
    "integer": "a whole number",
    "number": "a number",
    "truth": "true or false",
    "nothing": "nothing",
    "word": "text",
    "list": "a list",
    "map": "a map",
}


@dataclass(frozen=True, slots=True)
class Node:
    """A scalar (``text`` as written), a list (``items``) or a map (``members``, in order, keys unique).

    ``line`` counts from 1; 0 means that there is no file.
    """

    kind: Kind
    text: str = ""
    items: tuple["Node", ...] = ()
    members: tuple[tuple[str, "Node"], ...] = ()
    line: int = 0
    column: int = 0


def word(text: str) -> Node:
    """An untyped scalar, as the command line has it."""
    return Node("word", text)


def words(texts: Sequence[str]) -> Node:
    """A list of untyped scalars."""
    return Node("list", items=tuple(word(text) for text in texts))


def display(node: Node) -> str:
    """The value for people, on one line. Of a map only the names: its values may be private."""
    if node.kind == "list":
        return "[" + ", ".join(display(item) for item in node.items) + "]"
    if node.kind == "map":
        return "{" + ", ".join(name for name, _ in node.members) + "}"
    return shown(node.text)


def shown(text: str, limit: int = 80) -> str:
    """``text`` cut to ``limit`` and quoted where it holds anything but plain printable characters."""
    cut = text if len(text) <= limit else text[: limit - 3] + "..."
    return cut if cut.isprintable() and cut.isascii() and cut else ascii(cut)
