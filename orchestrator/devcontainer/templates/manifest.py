"""``devcontainer-template.json``: what a template is called, and which options it has. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from orchestrator.devcontainer.jsonc import BadJson, Json, Object, parse
from orchestrator.errors import ConfigError

NAME = "devcontainer-template.json"
MAX_OPTIONS = 200


@dataclass(frozen=True, slots=True)
class TemplateOption:
    """``proposals``: what usually stands there; ``enum``: all that may. ``default``: None if it has none."""

    kind: Literal["string", "boolean"]
    default: str | None
    description: str = ""
    proposals: tuple[str, ...] = ()
    enum: tuple[str, ...] = ()

    def takes(self) -> str:
        """For people: what values there are."""
        if self.kind == "boolean":
            return "true or false"
        if self.enum:
            return f"one of {', '.join(self.enum)}"
        return f"such as {', '.join(self.proposals)}" if self.proposals else "any text"

    def as_json(self) -> dict[str, object]:
        choices = {name: list(values) for name, values in (("proposals", self.proposals), ("enum", self.enum)) if values}
        return {"type": self.kind, "default": self.default, "description": self.description, **choices}


@dataclass(frozen=True, slots=True)
class Manifest:
    """``optional``: paths that a user may well leave out, as patterns of ``content.omitted``."""

    id: str
    version: str
    name: str = ""
    description: str = ""
    options: Mapping[str, TemplateOption] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    documentation: str = ""


def read(data: bytes, source: str) -> Manifest:
    """``source``: how errors call the file.

    Raises:
        ConfigError: it is no JSON, or a property is of another type than the format says.
    """
    try:
        value = parse(data.decode("utf-8")).value
    except UnicodeDecodeError as problem:
        raise ConfigError(f"{source} is not valid UTF-8, at byte {problem.start}") from None
    except BadJson as problem:
        raise ConfigError(f"{source}:{problem.place.line}:{problem.place.column}: {problem.reason}") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{source} is no JSON object")
    identity = _text(value, "id", source)
    if not identity:
        raise ConfigError(f"{source}: id is missing", remedy='write "id": "NAME"')
    return Manifest(
        identity,
        _text(value, "version", source),
        _text(value, "name", source),
        _text(value, "description", source),
        _options(value.get("options", {}), source),
        _texts(value, "optionalPaths", source),
        _text(value, "documentationURL", source),
    )


def _options(value: Json, source: str) -> Mapping[str, TemplateOption]:
    if not isinstance(value, dict):
        raise ConfigError(f"{source}: options is no object")
    if len(value) > MAX_OPTIONS:
        raise ConfigError(f"{source}: there are {len(value)} options, more than {MAX_OPTIONS}")
    return {name: _option(one, f"options.{name}", source) for name, one in value.items()}


def _option(value: Json, path: str, source: str) -> TemplateOption:
    if not isinstance(value, dict):
        raise ConfigError(f"{source}: {path} is no object")
    kind = value.get("type")
    if kind not in ("string", "boolean"):
        raise ConfigError(f"{source}: {path}.type is {kind!r}, not 'string' or 'boolean'")
    default = _default(value, path, source)
    if kind == "boolean" and default not in ("true", "false", None):
        raise ConfigError(f"{source}: {path}.default is {default!r}, not 'true' or 'false'")
    enum = _texts(value, "enum", source, f"{path}.")
    if enum and default is not None and default not in enum:
        raise ConfigError(f"{source}: {path}.default is {default!r}, which its enum has not")
    proposals = _texts(value, "proposals", source, f"{path}.")
    return TemplateOption(
        cast(Literal["string", "boolean"], kind), default, _text(value, "description", source, f"{path}."), proposals, enum
    )  # fmt: skip


def _default(value: Object, path: str, source: str) -> str | None:
    """A text; many templates write true without quotes."""
    default = value.get("default")
    if isinstance(default, bool):
        return "true" if default else "false"
    if default is not None and not isinstance(default, str):
        raise ConfigError(f"{source}: {path}.default is no text")
    return default


def _text(value: Object, name: str, source: str, path: str = "") -> str:
    found = value.get(name, "")
    if not isinstance(found, str):
        raise ConfigError(f"{source}: {path}{name} is no text")
    return found


def _texts(value: Object, name: str, source: str, path: str = "") -> tuple[str, ...]:
    found = value.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ConfigError(f"{source}: {path}{name} is no list of texts")
    return tuple(str(one) for one in found)
