"""How keys of a compose file are read and ruled: what many of them share. Pure."""

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from orchestrator.config.node import Node
from orchestrator.devcontainer.policy import mounts, runargs
from orchestrator.devcontainer.policy.asks import Ask, Need, never
from orchestrator.devcontainer.policy.grants import clean_path
from orchestrator.devcontainer.policy.verdict import WorkspaceGround


@dataclass(frozen=True, slots=True)
class Ground:
    """``folder``: where relative paths begin. ``volumes``: keys of the file to names of the engine."""

    workspace: WorkspaceGround
    folder: str
    services: frozenset[str] = frozenset()
    volumes: Mapping[str, str] = field(default_factory=dict)

    def path(self, text: str) -> str | None:
        """An absolute, clean path; None if it is none that we could know."""
        return None if text.startswith("~") else clean_path(posixpath.join(self.folder, text))


# (what it is, its value, the ground) -> what it asks for
Rule = Callable[[str, Node, Ground], Iterator[Ask]]


def row(rows: "Mapping[str, Rule]", key: str, prefix: str = "") -> Rule:
    if key.startswith("x-"):
        return fine
    return rows.get(key) or need(f"{prefix}{key}", "it is no key that is known")


# --- reading ---------------------------------------------------------------------------------------------------------------------


def members(node: Node) -> dict[str, Node]:
    return dict(node.members)


def member(node: Node, name: str) -> Node:
    """Nothing if it is not there, or null."""
    return next((value for key, value in node.members if key == name and value.kind != "nothing"), Node("nothing"))


def says(node: Node) -> bool:
    """Whether a value says something: nothing, "" and empty lists and maps do not."""
    return node.kind != "nothing" and bool(node.items or node.members or node.text)


def is_true(node: Node) -> bool:
    """What is not plainly false counts as true."""
    return says(node) and node.text not in ("false", "False", "FALSE")


def texts(node: Node) -> list[str]:
    """A list of texts, a map as ``NAME=value``, or one text."""
    if node.kind == "map":
        return [f"{key}={value.text}" for key, value in node.members]
    return [item.text for item in node.items] if node.kind == "list" else [node.text]


def is_plain(node: Node) -> bool:
    """A text, or a list or map of texts."""
    inner = (*node.items, *(value for _, value in node.members))
    return all(one.kind not in ("list", "map") for one in inner)


# --- rules -----------------------------------------------------------------------------------------------------------------------


def fine(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
    yield from ()


def need(word: str, why: str) -> Rule:
    """With the grant ``compose:WORD`` only."""

    def rule(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", word)[:120]
        yield Ask(f"{word}: {in_words(node)}", needs=(Need(f"compose:{name}", why),))

    return rule


def in_words(node: Node) -> str:
    return " ".join(texts(node))[:200]


def ask_for(what: str, grant: str, why: str) -> Ask:
    return Ask(what, needs=(Need(grant, why),))


def true_needs(grant: str, why: str) -> Rule:
    def rule(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
        if is_true(node):
            yield ask_for(key, grant, why)

    return rule


def each(ask: Callable[[str], Ask]) -> Rule:
    """Each text of a list by the rule that ``docker run`` has for it."""

    def rule(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
        if not is_plain(node):
            yield never(key, "it is no list of texts")
            return
        yield from (ask(text) for text in texts(node))

    return rule


def as_option(option: str) -> Rule:
    """As the option of ``docker run`` has it; what it needs is granted as ``compose:KEY``."""

    def rule(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
        if not is_plain(node):
            yield from need(key, "it is no text")(key, node, ground)
            return
        for text in texts(node):
            ask = runargs.ROWS[option].rule(option, text, ground.workspace)
            needs = tuple(replace(need, grant=f"compose:{key}") for need in ask.needs)
            yield Ask(f"{key}: {text}", needs=needs)

    return rule


def of_kind(kind: str, *harmless: str, why: str) -> Rule:
    """A namespace: ``KIND:VALUE`` grants it. That of another service of the project is its own."""

    def rule(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
        text = node.text
        if node.kind in ("list", "map"):
            yield never(key, "it is no text")
        elif text not in harmless and text.removeprefix("service:") not in ground.services - {text}:
            yield ask_for(f"{key}: {text}", f"{kind}:{text}", why)

    return rule


def table(prefix: str, rows: "Mapping[str, Rule]") -> Rule:
    """A map of which each key has a row; another key needs ``compose:PREFIX.KEY``."""

    def rule(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
        if node.kind != "map":
            yield never(key, "it is no map")
            return
        for name, value in node.members:
            if says(value):
                yield from row(rows, name, f"{prefix}.")(f"{prefix}.{name}", value, ground)

    return rule


def map_of(prefix: str, rows: "Mapping[str, Rule]") -> Rule:
    """Names, each with such a map or nothing."""
    inner = table(prefix, rows)

    def rule(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
        if node.kind != "map":
            yield never(key, "it is no map")
            return
        for name, value in node.members:
            if says(value):
                yield from inner(f"{prefix} {name}", value, ground)

    return rule


def files(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
    """Files that compose reads: a text, a list of texts, or of maps with a ``path``."""
    for one in node.items or (node,):
        text = member(one, "path").text if one.kind == "map" else one.text
        path = ground.path(text) if text else None
        if path is None:
            yield never(f"{key}: {text}", "it is no path that could be judged")
        else:
            yield Ask(f"{key}: {text}", needs=mounts.read_needs(path, ground.workspace))


def labels(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
    for text in texts(node):
        name = text.partition("=")[0]
        if runargs.is_ours(name) and not name.startswith("com.docker."):  # compose sets its own over whatever a file says
            yield ask_for(f"{key}: {name}", f"compose:{key}", "containers are found by such labels")
