"""Files of an agent that several concerns write: put together, and put into bytes. Pure."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import cast

import tomli_w

from orchestrator.errors import AienvError
from orchestrator.model.agent import AgentFile, Document, Value


def merge(files: Iterable[AgentFile]) -> tuple[AgentFile, ...]:
    """One file per path, in the order of their first mention: maps are joined, lists are appended. Locked when one of them is.

    Raises:
        AienvError: two concerns of ours say different things; that is a mistake in aienv.
    """
    merged: dict[str, AgentFile] = {}
    for file in files:
        before = merged.get(file.path)
        merged[file.path] = file if before is None else _joined(before, file)
    return tuple(merged.values())


def render(file: AgentFile) -> bytes:
    """The bytes of a file. In TOML, which knows no null, keys without a value are left out."""
    if isinstance(file.content, str):
        return file.content.encode()
    if file.format == "toml":
        return tomli_w.dumps(cast(Document, _without_null(file.content))).encode()
    return (json.dumps(file.content, indent=2, ensure_ascii=False) + "\n").encode()


def _joined(one: AgentFile, other: AgentFile) -> AgentFile:
    if one.format != other.format or isinstance(one.content, str) != isinstance(other.content, str):
        raise _conflict(one.path, "its format")
    content = _value(one.content, other.content, one.path, ())
    return replace(one, content=cast(Document | str, content), locked=one.locked or other.locked)


def _value(one: Value, other: Value, path: str, keys: tuple[str, ...]) -> Value:
    if isinstance(one, dict) and isinstance(other, dict):
        both = {key: _value(one[key], other[key], path, (*keys, key)) for key in one if key in other}
        return {**one, **other, **both}
    if isinstance(one, list) and isinstance(other, list):
        return [*one, *(item for item in other if item not in one)]
    if type(one) is type(other) and one == other:
        return one
    raise _conflict(path, ".".join(keys) or "its text")


def _conflict(path: str, what: str) -> AienvError:
    return AienvError(f"two parts of aienv disagree about {what} in {path}", remedy="report this")


def _without_null(value: Value) -> Value:
    if isinstance(value, dict):
        return {key: _without_null(item) for key, item in value.items() if item is not None}
    return [_without_null(item) for item in value if item is not None] if isinstance(value, list) else value
