"""What the specification's schema says of a configuration, as warnings: one in five of the files that work breaks it. Pure.

Draft 2019-09, as far as that schema uses it; a test looks that no keyword of the vendored file is without its function here.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import cast

from orchestrator.devcontainer.jsonc import Json, Object

SCHEMA = "devContainer.base.schema.json"
MAX_WARNINGS = 20
ONE_OF = ("image", "build", "dockerFile", "dockerComposeFile")

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,), "null": (type(None),),
    "integer": (int,), "number": (int, float),
}  # fmt: skip
_SHOWN = 60


@dataclass(slots=True)
class _Outcome:
    """``known``: the names of properties that some part of the schema speaks of."""

    problems: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)

    def take(self, other: "_Outcome") -> None:
        self.problems += other.problems
        self.known |= other.known


def warnings(config: Object) -> tuple[str, ...]:
    """One sentence for each thing that the schema does not allow."""
    if not any(key in config for key in ONE_OF):
        return (f"none of {', '.join(ONE_OF)} is given",)
    found = list(dict.fromkeys(_check(_schema(), config, "").problems))
    more = len(found) - MAX_WARNINGS
    return (*found[:MAX_WARNINGS], *((f"and {more} more",) if more > 0 else ()))


@cache
def _schema() -> Object:
    text = resources.files("orchestrator.devcontainer").joinpath("data", SCHEMA).read_text("utf-8")
    return cast(Object, json.loads(text))


def _check(schema: Json, value: Json, path: str) -> _Outcome:
    if not isinstance(schema, dict):
        return _Outcome([] if schema else [f"{path or 'it'} is not known"])
    outcome = _Outcome()
    for keyword, check in CHECKS.items():  # in this order: the last one must know what all others have seen
        if keyword in schema:
            check(schema, value, path, outcome)
    return outcome


def _ref(schema: Object, value: Json, path: str, outcome: _Outcome) -> None:
    target: Json = _schema()
    for part in str(schema["$ref"]).removeprefix("#/").split("/"):
        target = cast(dict[str, Json], target)[part]
    outcome.take(_check(target, value, path))


def _all_of(schema: Object, value: Json, path: str, outcome: _Outcome) -> None:
    for part in cast(list[Json], schema["allOf"]):
        outcome.take(_check(part, value, path))


def _any_of(schema: Object, value: Json, path: str, outcome: _Outcome) -> None:
    outcome.take(_nearest([_check(part, value, path) for part in cast(list[Json], schema["anyOf"])]))


def _one_of(schema: Object, value: Json, path: str, outcome: _Outcome) -> None:
    outcomes = [_check(part, value, path) for part in cast(list[Json], schema["oneOf"])]
    fitting = [one for one in outcomes if not one.problems]
    outcome.take(_nearest(outcomes))
    if len(fitting) > 1:
        for one in fitting:
            outcome.known |= one.known
        outcome.problems.append(f"{path or 'it'} has properties that exclude each other, such as image, build and dockerComposeFile")


def _nearest(outcomes: list[_Outcome]) -> _Outcome:
    """The form that was meant: one without problems, else the one that speaks of the most properties, and has the fewest problems."""
    return min(outcomes, key=lambda one: (bool(one.problems), -len(one.known), len(one.problems)))


def _type(schema: Object, value: Json, path: str, outcome: _Outcome) -> None:
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    for name in names:
        if isinstance(value, _TYPES[str(name)]) and (name == "boolean" or not isinstance(value, bool)):
            return
    outcome.problems.append(f"{path or 'it'} is {_shown(value)}, not of type {' or '.join(map(str, names))}")


def _enum(schema: Object, value: Json, path: str, outcome: _Outcome) -> None:
    allowed = cast(list[Json], schema["enum"])
    if not any(type(one) is type(value) and one == value for one in allowed):
        outcome.problems.append(f"{path} is {_shown(value)}, not one of {', '.join(json.dumps(one) for one in allowed)}")


def _pattern(schema: Object, value: Json, path: str, outcome: _Outcome) -> None:
    if isinstance(value, str) and not re.search(str(schema["pattern"]), value, re.ASCII):
        outcome.problems.append(f"{path} is {_shown(value)}, which is not of the form {schema['pattern']}")


def _bound(keyword: str, outside: Callable[[float, float], bool]) -> "Check":
    def check(schema: Object, value: Json, path: str, outcome: _Outcome) -> None:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and outside(value, cast(float, schema[keyword])):
            outcome.problems.append(f"{path} is {value}; the {keyword} is {schema[keyword]}")

    return check


def _items(schema: Object, value: Json, path: str, outcome: _Outcome) -> None:
    for number, one in enumerate(value if isinstance(value, list) else ()):
        outcome.problems += _check(schema["items"], one, f"{path}[{number}]").problems


def _required(schema: Object, value: Json, path: str, outcome: _Outcome) -> None:
    for name in cast(list[str], schema["required"]):
        if isinstance(value, dict) and name not in value:
            outcome.problems.append(f"{f'{path}.' if path else ''}{name} is missing")


def _properties(schema: Object, value: Json, path: str, outcome: _Outcome) -> None:
    for name, part in cast(Object, schema["properties"]).items():
        if name in (members := _members(value)):
            outcome.known.add(name)
            outcome.problems += _check(part, members[name], _below(path, name)).problems


def _pattern_properties(schema: Object, value: Json, path: str, outcome: _Outcome) -> None:
    for pattern, part in cast(Object, schema["patternProperties"]).items():
        for name, one in _members(value).items():
            if re.search(pattern, name, re.ASCII):
                outcome.known.add(name)
                outcome.problems += _check(part, one, _below(path, name)).problems


def _additional(schema: Object, value: Json, path: str, outcome: _Outcome) -> None:
    """What the properties beside it do not name."""
    patterns = tuple(cast(Object, schema.get("patternProperties", {})))
    named = cast(Object, schema.get("properties", {}))
    for name, one in _members(value).items():
        if name not in named and not any(re.search(pattern, name, re.ASCII) for pattern in patterns):
            if schema["additionalProperties"] is not False:
                outcome.known.add(name)
            outcome.problems += _check(schema["additionalProperties"], one, _below(path, name)).problems


def _unevaluated(schema: Object, value: Json, path: str, outcome: _Outcome) -> None:
    """What no part of the schema names."""
    for name, one in _members(value).items():
        if name not in outcome.known:
            outcome.problems += _check(schema["unevaluatedProperties"], one, _below(path, name)).problems


def _members(value: Json) -> Object:
    return value if isinstance(value, dict) else {}


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shown(value: Json) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


Check = Callable[[Object, Json, str, _Outcome], None]

CHECKS: Mapping[str, Check] = {
    "$ref": _ref,
    "type": _type,
    "enum": _enum,
    "pattern": _pattern,
    "minimum": _bound("minimum", lambda value, bound: value < bound),
    "maximum": _bound("maximum", lambda value, bound: value > bound),
    "items": _items,
    "required": _required,
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "unevaluatedProperties": _unevaluated,
}
# Words for people and editors.
SILENT = frozenset([
    "$schema", "description", "allowComments", "allowTrailingCommas", "definitions", "format", "deprecated", "deprecationMessage",
    "enumDescriptions", "default", "markdownDescription", "defaultSnippets", "examples",
])  # fmt: skip
