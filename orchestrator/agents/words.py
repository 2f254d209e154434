"""Fields in braces of a profile's words, variables and files, filled. Pure."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from orchestrator.model.agent import AgentFile, Document, Value

FIELDS = ("prompt", "model", "session", "base_url", "service_url", "key", "home", "workspace")
ARGS = "{args}"

_FIELD = re.compile(r"\{(" + "|".join(FIELDS) + r")\}")


def fill_words(words: tuple[str, ...], fields: Mapping[str, str], args: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The words, with ``args`` in place of the word ``{args}`` (at the end where there is none). A word with a field that has no value is
    left out, and a ``--`` that would then be the last one."""
    said = list(words)
    while said and said[-1] not in (ARGS, "--") and fill(said[-1], fields) is None:
        said.pop()
    if said[-1:] == ["--"]:  # the profile's own; a prompt that is "--" stays
        said.pop()
    places = said if ARGS in words else [*said, ARGS]
    filled: list[str] = []
    for word in places:
        if word == ARGS:
            filled += args
        elif (text := fill(word, fields)) is not None:
            filled.append(text)
    return tuple(filled)


def fill(text: str, fields: Mapping[str, str]) -> str | None:
    """None: it holds a field without a value. What was filled in is not looked at again."""
    if any(name not in fields for name in _FIELD.findall(text)):
        return None
    return _FIELD.sub(lambda found: fields[found[1]], text)


def fill_env(env: tuple[tuple[str, str], ...], fields: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    filled = ((name, fill(value, fields)) for name, value in env)
    return tuple((name, value) for name, value in filled if value is not None)


def fill_file(file: AgentFile, fields: Mapping[str, str]) -> AgentFile:
    return replace(file, content=cast(Document | str, _value(file.content, fields)))


def _value(value: Value, fields: Mapping[str, str]) -> Value:
    """A text whose field has no value becomes null, which a file leaves out or has as nothing."""
    if isinstance(value, str):
        return fill(value, fields)
    if isinstance(value, dict):
        return {fill(key, fields) or key: _value(item, fields) for key, item in value.items()}
    return [_value(item, fields) for item in value] if isinstance(value, list) else value
