"""What a devcontainer.json says of images: one, a Dockerfile to build, or compose files. Pure; the files it names are read by others."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.guard.calls import Json, Object
from orchestrator.guard.sources import Named, named, read_json

_VARIABLE = re.compile(r"\$\{(?:localEnv|env):([A-Za-z_][A-Za-z0-9_]*)(?::([^}]*))?\}")


@dataclass(frozen=True, slots=True)
class BuildFacts:
    """``dockerfile``, ``context``: as written, beside the file that names them. ``target``: empty: the last stage."""

    dockerfile: str
    context: str
    arguments: Mapping[str, str]
    target: str


@dataclass(frozen=True, slots=True)
class DevcontainerFacts:
    images: tuple[Named, ...]
    build: BuildFacts | None
    compose_files: tuple[str, ...]
    service: str | None
    warnings: tuple[str, ...]


def facts(data: bytes, environ: Mapping[str, str], source: str = "devcontainer.json") -> DevcontainerFacts:
    """``environ``: what ``${localEnv:NAME}`` may see.

    Raises:
        BadSource: it cannot be read.
    """
    document = read_json(data)
    warnings: list[str] = []
    image = _text(document, "image", environ, warnings)
    found = named(image, f"{source}: image", warnings) if image else ()
    files = document.get("dockerComposeFile")
    listed = files if isinstance(files, list) else [files]
    compose = tuple(one for one in listed if isinstance(one, str) and one)
    if document.get("features"):
        warnings.append(f"{source}: features are installed by a build of their own")
    return DevcontainerFacts(
        found, _build(document, environ, warnings), compose, _text(document, "service", environ, warnings), tuple(warnings)
    )


def _build(document: Object, environ: Mapping[str, str], warnings: list[str]) -> BuildFacts | None:
    build = document.get("build")
    table = build if isinstance(build, dict) else {}
    dockerfile = _text(table, "dockerfile", environ, warnings) or _text(document, "dockerFile", environ, warnings)
    if not dockerfile:
        return None
    context = _text(table, "context", environ, warnings) or _text(document, "context", environ, warnings) or "."
    given = table.get("args")
    arguments = (
        {name: text for name in given if (text := _text(given, name, environ, warnings)) is not None} if isinstance(given, dict) else {}
    )
    return BuildFacts(dockerfile, context, arguments, _text(table, "target", environ, warnings) or "")


def _text(table: Object, key: str, environ: Mapping[str, str], warnings: list[str]) -> str | None:
    value: Json = table.get(key)
    if not isinstance(value, str):
        return None
    text = _VARIABLE.sub(lambda match: environ.get(match[1], match[2] or ""), value)
    if "${" in text:
        warnings.append(f"{key}: {value[:80]!r} has a variable that is not known here")
        return None
    return text
