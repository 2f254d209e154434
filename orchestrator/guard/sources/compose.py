"""What a compose file says of images: those that services run, those that are built, and by which names services call each other. Pure.

Files that it names (``extends``, ``include``, ``env_file``, Dockerfiles) are read by others or not at all; what was left out is said.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.config.node import Node
from orchestrator.config.yamlfile import parse_yaml
from orchestrator.errors import ConfigError
from orchestrator.guard.sources import MAX_IMAGES, BadSource, Named, named

MAX_DEPTH, MAX_TEXT = 8, 4096

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_MODIFIERS = (":-", ":+", ":?", "-", "+", "?")
_HOST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,252}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ComposeBuild:
    """``context``, ``dockerfile``: as written, beside the compose file. ``inline``: the Dockerfile's text, where it stands in the file."""

    service: str
    context: str
    dockerfile: str
    arguments: Mapping[str, str]
    target: str
    inline: str | None


@dataclass(frozen=True, slots=True)
class ComposeFacts:
    """``images``: of services that are not built. ``built``: names that builds give, canonical: no part of an allow list. ``services``: all
    names by which containers of the project are called."""

    images: tuple[Named, ...]
    builds: tuple[ComposeBuild, ...]
    built: tuple[Named, ...]
    services: tuple[str, ...]
    warnings: tuple[str, ...]


class _Missing(Exception):
    """A variable that has no value, or a form that is not known."""


def images(data: bytes, environ: Mapping[str, str], source: str = "compose file") -> ComposeFacts:
    """``environ``: what variables may see: the project's ``.env`` and what the user gives, nothing else.

    Raises:
        BadSource: it cannot be read.
    """
    try:
        root = parse_yaml(data, source, aliases=True)
    except ConfigError as problem:
        raise BadSource(problem.message) from None
    top = _table(root)
    warnings: list[str] = []
    if "include" in top:
        warnings.append(f"{source}: include is not followed")
    # The first form of compose files has services at the top.
    services = _table(top["services"]) if "services" in top else {key: node for key, node in top.items() if _is_service(node)}
    run: list[Named] = []
    built: list[Named] = []
    builds: list[ComposeBuild] = []
    names: dict[str, None] = {}
    for name, node in services.items():
        service = _table(node)
        names |= dict.fromkeys(_names(name, service))
        origin = f"{source}: service {name[:60]!r}"
        if _text(_table(service.get("extends")).get("file")):
            warnings.append(f"{origin}: extends another file, which is not followed")
        build = _build(name, service.get("build"), environ, origin, warnings)
        image = _value(service.get("image"), environ, origin, warnings)
        found = named(image, origin, warnings) if image else ()
        if build is None:
            run += found
        else:
            builds.append(build)
            built += found
    if len(run) > MAX_IMAGES or len(names) > MAX_IMAGES:
        raise BadSource(f"{source}: more than {MAX_IMAGES} services")
    made = {one.reference for one in built}
    first = {one.reference: one for one in reversed(run) if one.reference not in made}
    kept = tuple(one for one in run if first.get(one.reference) is one)
    return ComposeFacts(kept, tuple(builds), tuple(built), tuple(name for name in names if _HOST_NAME.fullmatch(name)), tuple(warnings))


def interpolate(text: str, environ: Mapping[str, str]) -> str:
    """``$NAME``, ``${NAME:-default}`` and their like; ``$$`` is a dollar.

    Raises:
        BadSource: a variable that must have a value and has none, or a form that is not known.
    """
    try:
        return _until(text, 0, "", environ, 0)[0]
    except _Missing as problem:
        raise BadSource(str(problem)) from None


def _until(text: str, start: int, stop: str, environ: Mapping[str, str], depth: int) -> tuple[str, int]:
    if depth > MAX_DEPTH or len(text) > MAX_TEXT:
        raise _Missing("is too long, or nested too deep")
    out: list[str] = []
    position = start
    while position < len(text):
        char = text[position]
        if char == stop:
            return "".join(out), position + 1
        position += 1
        if char != "$":
            out.append(char)
        elif text[position : position + 1] == "$":
            out.append("$")
            position += 1
        else:
            inner, position = _dollar(text, position, environ, depth)
            out.append(inner)
    if stop:
        raise _Missing("lacks a '}'")
    return "".join(out), position


def _dollar(text: str, start: int, environ: Mapping[str, str], depth: int) -> tuple[str, int]:
    braced = text[start : start + 1] == "{"
    match = _NAME.match(text, start + braced)
    if match is None:
        raise _Missing("holds a '$' without a name")
    value, position = environ.get(match[0]), match.end()
    if not braced or text[position : position + 1] == "}":
        return value or "", position + braced
    modifier = next((one for one in _MODIFIERS if text.startswith(one, position)), None)
    if modifier is None:
        raise _Missing("has a substitution that is not known")
    word, position = _until(text, position + len(modifier), "}", environ, depth + 1)
    there = bool(value) if modifier[0] == ":" else value is not None
    if modifier[-1] == "?" and not there:
        raise _Missing(f"needs {match[0]}")
    if modifier[-1] == "+":
        return (word if there else ""), position
    return (value or "" if there else word), position


def _table(node: Node | None, depth: int = 0) -> dict[str, Node]:
    """The members of a map, with those of its merge key (``<<``) behind its own; of anything else: none."""
    if node is None or node.kind != "map" or depth > MAX_DEPTH:
        return {}
    found = dict(node.members)
    merged = found.pop("<<", None)
    for one in merged.items if merged is not None and merged.kind == "list" else (merged,):
        found = {**_table(one, depth + 1), **found}
    return found


def _is_service(node: Node) -> bool:
    return not {"image", "build"}.isdisjoint(_table(node))


def _text(node: Node | None) -> str:
    return node.text if node is not None and node.kind not in ("list", "map", "nothing") else ""


def _value(node: Node | None, environ: Mapping[str, str], origin: str, warnings: list[str]) -> str:
    text = _text(node)
    try:
        return interpolate(text, environ)
    except BadSource as problem:
        warnings.append(f"{origin}: {text[:80]!r} {problem}")
        return ""


def _names(name: str, service: Mapping[str, Node]) -> list[str]:
    found = [name, _text(service.get("container_name")), _text(service.get("hostname"))]
    for network in _table(service.get("networks")).values():
        aliases = _table(network).get("aliases")
        found += [_text(one) for one in (aliases.items if aliases is not None else ())]
    links = service.get("links")
    found += [_text(one).rpartition(":")[2] for one in (links.items if links is not None else ())]
    return [one for one in found if one]


def _build(name: str, node: Node | None, environ: Mapping[str, str], origin: str, warnings: list[str]) -> ComposeBuild | None:
    if node is None or node.kind == "nothing":
        return None
    if node.kind != "map":
        return ComposeBuild(name, _value(node, environ, origin, warnings) or ".", "Dockerfile", {}, "", None)
    table = _table(node)

    def value(key: str) -> str:
        return _value(table.get(key), environ, origin, warnings)

    inline = _text(table.get("dockerfile_inline")) or None
    return ComposeBuild(
        name,
        value("context") or ".",
        value("dockerfile") or "Dockerfile",
        _arguments(table.get("args"), environ, origin, warnings),
        value("target"),
        inline,
    )


def _arguments(node: Node | None, environ: Mapping[str, str], origin: str, warnings: list[str]) -> dict[str, str]:
    """A table, or a list of NAME=value; without a value it is the variable's of that name."""
    if node is None:
        return {}
    if node.kind == "list":
        pairs = [_value(item, environ, origin, warnings).partition("=") for item in node.items]
        given = {key: value if equals else environ.get(key) for key, equals, value in pairs}
    else:
        given = {
            key: environ.get(key) if item.kind == "nothing" else _value(item, environ, origin, warnings)
            for key, item in _table(node).items()
        }
    return {key: value for key, value in given.items() if value is not None}
