"""A devcontainer.json from the disk to values: read, brought up to date, its variables replaced as far as they are known."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

from orchestrator.devcontainer import locate, schema
from orchestrator.devcontainer.jsonc import BadJson, Json, Object, parse
from orchestrator.devcontainer.locate import Place
from orchestrator.devcontainer.variables import Local, Replace, local_pass, substitute
from orchestrator.devcontainer.workspace import Workspace, workspace
from orchestrator.errors import ConfigError

_ODD = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller named; paths are absolute. ``override``: a file to read in place of the one that is found."""

    folder: str | None = None
    config: str | None = None
    override: str | None = None
    git_root: bool = True
    worktree_common_dir: bool = False


@dataclass(frozen=True, slots=True)
class Configuration:
    """``raw``: as written; ``config``: with ``passes`` of variables replaced, in their order. ``root``: the folder
    of the workspace, None without one; ``place``: None if no file was asked for."""

    raw: Object
    config: Object
    passes: tuple[Replace, ...]
    root: str | None = None
    place: Place | None = None
    workspace: Workspace | None = None
    warnings: tuple[str, ...] = ()

    def then(self, more: Replace) -> "Configuration":
        """One more pass over it, and over what is put together with it."""
        return replace(self, config=cast(Object, substitute(self.config, more)), passes=(*self.passes, more))

    def substituted(self, entry: Object) -> Object:
        """An entry of a label or a feature, through the same passes."""
        value: Json = entry
        for one in self.passes:
            value = substitute(value, one)
        return cast(Object, value)

    def placed(self, config: Object) -> Object:
        """``config`` with where it was read."""
        return {**config, "configFilePath": dict(self.place.as_json())} if self.place is not None else config


def load(asked: Asked, environ: Mapping[str, str]) -> Configuration:
    """``environ``: what ``${localEnv:NAME}`` may see.

    Raises:
        ConfigError: no file, or one that cannot be understood; with file, line and column.
    """
    root = locate.workspace_root(asked.folder) if asked.folder is not None else None
    place = _place(asked, root)
    if place is None:
        return Configuration({}, {}, (local_pass(Local(environ)),))
    path = asked.override or place.path
    data = locate.read_file(path)
    if not data:
        raise ConfigError(f"Dev container config ({path}) not found." if data is None else f"Dev container config ({path}) is empty.")
    raw, warnings = read(data, path)
    where = workspace(raw, locate.ground(root, asked.git_root) if root is not None else None, asked.worktree_common_dir)
    known = Local(environ, root, _text(where.folder), path)
    config = cast(Object, substitute(raw, local_pass(known)))
    if isinstance(config.get("workspaceFolder"), str):
        where = replace(where, folder=config["workspaceFolder"])
    if "workspaceMount" in config:
        where = replace(where, mount=config["workspaceMount"])
    later = local_pass(replace(known, container_workspace=_text(where.folder)))  # what is put together with it sees the final folder
    return Configuration(raw, config, (later,), root, place, where, warnings)


def read(data: bytes, source: str) -> tuple[Object, tuple[str, ...]]:
    """The object in a file, properties of an older time moved to their new place; and warnings.

    Raises:
        ConfigError: with ``source``, line and column.
    """
    try:
        document = parse(data.decode("utf-8"))
    except UnicodeDecodeError as problem:
        raise ConfigError(f"{source} is not valid UTF-8, at byte {problem.start}") from None
    except BadJson as problem:
        raise ConfigError(f"{source}:{problem.place.line}:{problem.place.column}: {problem.reason}") from None
    value = document.value
    if not isinstance(value, dict):
        raise ConfigError(f"Dev container config ({source}) must contain a JSON object literal.")
    twice = [f"{source}:{one.place.line}:{one.place.column}: {one.key!r} stands twice, this one counts" for one in document.repeated]
    if len(twice) > schema.MAX_WARNINGS:
        twice = [*twice[: schema.MAX_WARNINGS], f"{source}: {len(twice) - schema.MAX_WARNINGS} more keys stand twice"]
    if (odd := _odd_text(value)) is not None:
        raise ConfigError(f"{source}: {odd!r} holds a character that no program can be told (a NUL, or half of a pair)")
    return modern(value), (*twice, *(f"{source}: {text}" for text in schema.warnings(value)))


def _odd_text(value: Json) -> str | None:
    """The first text, key or value, that is nothing for a command line."""
    waiting: list[Json] = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if _ODD.search(one):
                return one[:80]
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += [*one, *one.values()]
    return None


def modern(config: Object) -> Object:
    """``extensions``, ``settings`` and ``devPort`` of an older time, moved into ``customizations.vscode``; a value there is stronger."""
    old = {key: config[key] for key in ("extensions", "settings", "devPort") if key in config}
    if not (_said(old.get("extensions")) or _said(old.get("settings")) or "devPort" in old):
        return config
    customizations = _or_new(config.get("customizations"))
    vscode = _or_new(customizations.get("vscode")) if isinstance(customizations, dict) else None
    if not isinstance(customizations, dict) or not isinstance(vscode, dict):
        return config
    left, moved = dict(config), dict(vscode)
    if _said(old.get("extensions")):
        moved["extensions"] = [*_listed(vscode.get("extensions") or []), *_listed(left.pop("extensions"))]
    if _said(old.get("settings")):
        given, own = left.pop("settings"), vscode.get("settings")
        moved["settings"] = {**(given if isinstance(given, dict) else {}), **(own if isinstance(own, dict) else {})}
    if "devPort" in old and "devPort" not in vscode:
        moved["devPort"] = left.pop("devPort")
    left["customizations"] = {**customizations, "vscode": moved}
    return left


def _said(value: Json) -> bool:
    return isinstance(value, (list, dict)) or bool(value)


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _or_new(value: Json) -> Json:
    return value if _said(value) else {}


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


def _place(asked: Asked, root: str | None) -> Place | None:
    if asked.config is not None:
        return Place(asked.config, "file")
    if root is not None:
        return locate.find_config(root, fallback=asked.override is not None)
    return Place(asked.override, "file") if asked.override is not None else None


def docker_folder(asked: Asked, here: str) -> str:
    """Where the engine's commands run."""
    return locate.workspace_root(asked.folder) if asked.folder and os.path.isdir(locate.workspace_root(asked.folder)) else here
