"""Parsers of single values of a manifest, each a ``values.Parser``: what they refuse says the way out. Pure."""

import re
from typing import cast

from orchestrator.agents import words
from orchestrator.config.node import KIND_NAMES, Node, shown
from orchestrator.config.values import VARIABLE_NAME, BadValue, nearest, number, one_line, scalar, truth, whole
from orchestrator.model.agent import Value

FIELDS = (*words.FIELDS, "args")
_FIELD = re.compile(r"\{([a-z][a-z_]*)\}")
NPM = re.compile(r"((?:@[a-z0-9~_-][a-z0-9._~-]*/)?[a-z0-9~_-][a-z0-9._~{}-]*)@([0-9A-Za-z][0-9A-Za-z.+_-]*)", re.ASCII)
PYPI = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([0-9A-Za-z][0-9A-Za-z.+!_-]*)", re.ASCII)
PROGRAM_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}", re.ASCII)


def filled_word(node: Node) -> str:
    """A word or text. What is almost a field in braces is refused; other braces may be the program's own, as in ``awk '{print}'``."""
    text = scalar(node, "a word")
    for field in _FIELD.findall(text):
        if field not in FIELDS and (near := nearest(field, FIELDS)):
            known = ", ".join(f"{{{one}}}" for one in FIELDS)
            raise BadValue(f"unknown field {shown('{' + field + '}')}{near}", f"there are {known}")
    return text


def word_list(node: Node) -> tuple[str, ...]:
    """Words; they may repeat. An empty list is none."""
    if node.kind != "list":
        raise BadValue(f"expected a list of words, found {KIND_NAMES[node.kind]}", "write it as [--model, '{model}']")
    if len(node.items) > 200:
        raise BadValue("has more than 200 words")
    return tuple(filled_word(item) for item in node.items)


def below_home(node: Node) -> str:
    text = one_line(node, "a folder below the home")
    if text.startswith("/") or ".." in text.split("/") or text.removeprefix("~/").strip("/") == "":
        raise BadValue(f"{shown(text)} is no folder below the home", "write it as .my-agent/sessions")
    return text.removeprefix("~/").strip("/")


def file_path(node: Node) -> str:
    text = one_line(node, "a path")
    if not text.startswith(("/", "~/")) or ".." in text.split("/") or text.endswith("/"):
        raise BadValue(f"{shown(text)} is neither an absolute path nor one below ~/", "write it as ~/.my-agent/settings.json")
    return text


def variable(node: Node) -> str:
    text = one_line(node, "the name of a variable")
    if not VARIABLE_NAME.fullmatch(text) or text.startswith("AIENV"):
        raise BadValue(f"{shown(text)} is not a variable name", "use letters, digits and _; not a digit first")
    return text


def variables(node: Node) -> tuple[tuple[str, str], ...]:
    if node.kind != "map":
        raise BadValue(f"expected a map of names and values, found {KIND_NAMES[node.kind]}", "write it as env: {NAME: value}")
    return tuple((variable(Node("text", name)), filled_word(value)) for name, value in node.members)


def extra_package(node: Node) -> str:
    text = one_line(node, "a package")
    if not (NPM.fullmatch(text) or PYPI.fullmatch(text) or PROGRAM_NAME.fullmatch(text)):
        raise BadValue(f"{shown(text)} is no package", "write it as NAME, NAME@VERSION (npm) or NAME==VERSION (pypi)")
    return text


def entry_path(node: Node) -> str:
    text = filled_word(node)
    if not text or text.startswith("/") or ".." in text.split("/") or not text.isprintable():
        raise BadValue(f"{shown(text)} is no path below the agent's folder", "write it as node_modules/NAME/dist/cli.js")
    return text


def glob(node: Node) -> str:
    text = one_line(node, "a path inside the workspace")
    if text.startswith(("/", "~")) or ".." in text.split("/"):
        raise BadValue(f"{shown(text)} leaves the workspace", "write it relative to the top of the repository")
    return text


def plain(node: Node) -> Value:
    """Any value, for a document of settings."""
    if node.kind == "map":
        return {name: plain(item) for name, item in node.members}
    if node.kind == "list":
        return [plain(item) for item in node.items]
    match node.kind:
        case "nothing":
            return None
        case "truth":
            return truth(node)
        case "integer" if re.fullmatch(r"[0-9]{1,15}", node.text, re.ASCII):
            return cast(int, whole(0, 10**15)(node))
        case "number" if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", node.text, re.ASCII):
            return cast(float, number(0, 1e9)(node))
        case "integer" | "number":
            raise BadValue(f"the number {shown(node.text)} is not one that is taken here", f'quote it: "{shown(node.text)}"')
        case _:
            return filled_word(node)
