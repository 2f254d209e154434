"""Where the workspace stands in the container, and the mount that puts it there. Pure; see ``locate`` for what lies on the disk."""

import posixpath
import re
from dataclasses import dataclass

from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.devcontainer.variables import base_name
from orchestrator.errors import ConfigError

BELOW = "/workspaces"

_GITDIR = re.compile(r"^gitdir:[ \t]*(.+?)[ \t\r]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Ground:
    """``root``: the folder to mount, the workspace itself or the work tree that holds it. ``git_file``: the text of ``root/.git`` where
    that is a file: a linked work tree or a submodule."""

    folder: str
    root: str
    git_file: str | None = None


@dataclass(frozen=True, slots=True)
class Workspace:
    """``mount``: as for ``--mount``, None for compose, empty for none. ``also``: the mount of a linked work tree's repository."""

    folder: Json
    mount: Json
    also: str | None = None

    def as_json(self) -> Object:
        found: Object = {"workspaceFolder": self.folder, "workspaceMount": self.mount, "additionalMountString": self.also}
        return {key: value for key, value in found.items() if value is not None}


def workspace(config: Object, ground: Ground | None, worktree_common_dir: bool = False) -> Workspace:
    """``config``: before its variables are replaced. ``ground``: None without a workspace; then there are no defaults.

    Raises:
        ConfigError: a value that is no text.
    """
    folder, mount = _text_at(config, "workspaceFolder"), _text_at(config, "workspaceMount")
    if "dockerComposeFile" in config:
        return Workspace(folder or "/", None)
    if ground is None or (folder and "workspaceMount" in config):
        return Workspace(folder, mount)
    target = posixpath.normpath(posixpath.join(BELOW, base_name(ground.root)))
    also = None
    if worktree_common_dir and (found := _common_dir(ground)) is not None:
        target, also = found
    if not folder:
        folder = posixpath.normpath(posixpath.join(target, posixpath.relpath(ground.folder, ground.root)))
    if "workspaceMount" not in config:
        mount = _bind(ground.root, target)
    return Workspace(folder, mount, also)


def _common_dir(ground: Ground) -> tuple[str, str] | None:
    """Where the work tree goes so that its relative path to the repository holds, and the mount of that repository's ``.git``."""
    match = _GITDIR.search(ground.git_file or "")
    if match is None or posixpath.isabs(match[1]):
        return None  # an absolute path leads nowhere in a container
    common = posixpath.normpath(posixpath.join(ground.root, match[1], "..", ".."))
    parts: list[str] = []
    current = ground.root
    while not common.startswith(current.rstrip("/") + "/") and current != posixpath.dirname(current):
        parts.insert(0, posixpath.basename(current))
        current = posixpath.dirname(current)
    target = posixpath.join(BELOW, *parts)
    return target, _bind(common, posixpath.normpath(posixpath.join(target, match[1], "..", "..")))


def _bind(source: str, target: str) -> str:
    return f"type=bind,{_field('source', source)},{_field('target', target)}"


def _field(name: str, value: str) -> str:
    return f'"{name}={value}"' if "," in value else f"{name}={value}"


def _text_at(config: Object, key: str) -> str | None:
    value = config.get(key)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{key} is no text, but {value!r}")
    return value
