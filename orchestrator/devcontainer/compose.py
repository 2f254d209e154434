"""One service in what ``docker compose config`` prints. Pure."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.config.node import Node
from orchestrator.config.yamlfile import parse_yaml
from orchestrator.errors import ConfigError

NOTHING = Node("nothing")


@dataclass(frozen=True, slots=True)
class Service:
    """``dockerfile``: its absolute path, None if the service is not built; ``target``: None for the last stage."""

    image: str | None
    dockerfile: str | None
    arguments: Mapping[str, str]
    target: str | None


def service(data: bytes, name: str, first_file: str) -> Service:
    """``first_file``: the first compose file; relative paths begin beside it.

    Raises:
        ConfigError: there is no such service, or the text cannot be read.
    """
    found = _member(_member(parse_yaml(data, "compose config", aliases=True), "services"), name)
    if found.kind != "map":
        raise ConfigError(f"Service '{name}' configured in devcontainer.json not found in Docker Compose configuration.")
    image, build = _text(_member(found, "image")), _member(found, "build")
    if build.kind == "map":
        context, dockerfile, target = (_text(_member(build, key)) for key in ("context", "dockerfile", "target"))
        arguments = _arguments(_member(build, "args"))
    elif (context := _text(build)) is not None:
        dockerfile, target, arguments = None, None, {}
    else:
        return Service(image, None, {}, None)
    folder = posixpath.join(posixpath.dirname(first_file), context or ".")
    return Service(image, posixpath.normpath(posixpath.join(folder, dockerfile or "Dockerfile")), arguments, target)


def _arguments(node: Node) -> dict[str, str]:
    """A map, or a list of ``NAME=value``; a name alone has no value."""
    pairs = [(name, _text(value)) for name, value in node.members]
    pairs += [(word[0], word[2]) for item in node.items if (word := item.text.partition("="))[1]]
    return {name: value for name, value in pairs if value is not None}


def _member(node: Node, name: str) -> Node:
    return next((value for key, value in node.members if key == name), NOTHING)


def _text(node: Node) -> str | None:
    return node.text if node.kind in ("text", "integer", "number", "truth") and node.text else None
