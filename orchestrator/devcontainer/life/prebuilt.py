"""Prebuilds: the image of a dev container after its features, onCreateCommand and updateContentCommand, made once and kept.

Its name is a digest of all that it is made of, so that nothing has to be thrown away when something changes: it is no longer found.
``up`` takes one that fits; then onCreateCommand counts as run, and updateContentCommand runs again on the present content.
"""

import calendar
import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.devcontainer import ids
from orchestrator.devcontainer.engine import Docker
from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.devcontainer.life.record import write_private
from orchestrator.devcontainer.load import Configuration
from orchestrator.errors import AienvError

REPOSITORY = "aienv-devcontainer/prebuild"
COMMIT_S = 1800.0
HOOKS = ("onCreateCommand", "updateContentCommand")
# Labels that would say of each container made of the image that it is the one of another folder.
_NOT_INHERITED = (ids.LOCAL_FOLDER, ids.CONFIG_FILE, ids.GUARD, ids.MAKER)


@dataclass(frozen=True, slots=True)
class Prebuild:
    """``size``: bytes; ``made``, ``used``: seconds since 1970, ``used`` None for never."""

    name: str
    size: int
    made: str
    hits: int
    used: float | None

    def as_json(self) -> Object:
        return {"name": self.name, "size": self.size, "made": self.made, "hits": self.hits, "used": self.used}


def name_of(image_id: str, merged: Object, user: str, configuration: Configuration) -> str:
    """The name of the prebuild that stands on an image, with all that decides what its hooks do. They run programs of the workspace: what
    one made is not for another."""
    told: Object = {
        "workspace": os.path.realpath(configuration.root or "/"), "file": configuration.place.path if configuration.place else "",
        "runArgs": configuration.config.get("runArgs"),
        "image": image_id, "user": user, "containerEnv": merged.get("containerEnv"), "remoteEnv": merged.get("remoteEnv"),
        "containerUser": merged.get("containerUser"), "remoteUser": merged.get("remoteUser"),
        **{hook: merged.get(f"{hook}s") for hook in HOOKS},
    }  # fmt: skip
    return f"{REPOSITORY}:{hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()}"


def commit(docker: Docker, container: str, name: str) -> None:
    """Make the image of a container.

    Raises:
        EnvironmentFailed: it could not be made.
    """
    blank = [word for label in _NOT_INHERITED for word in ("--change", f"LABEL {json.dumps(label)}=")]
    docker.ask(docker.command, "commit", *blank, container, name, deadline_s=COMMIT_S)


class Prebuilds:
    """Those of the engine, and how often each was of use, which is written below ``folder``."""

    def __init__(self, docker: Docker, folder: Path) -> None:
        self._docker, self._folder = docker, folder

    def found(self, name: str) -> bool:
        """Whether it is there; then it counts as used."""
        if not self._docker.has_image(name):
            return False
        hits, _ = self._use(name)
        write_private(self._path(name), json.dumps({"hits": hits + 1, "used": time.time()}).encode())
        return True

    def all(self) -> list[Prebuild]:
        """The newest first."""
        found: list[Prebuild] = []
        for tag in self._docker.ask(self._docker.command, "image", "ls", "--format", "{{.Tag}}", REPOSITORY).split():
            name = f"{REPOSITORY}:{tag}"
            details = self._docker.inspect("image", name)[0]
            hits, used = self._use(name)
            found.append(Prebuild(name, _number(details.get("Size")), str(details.get("Created")), hits, used))
        return sorted(found, key=lambda one: one.made, reverse=True)

    def remove(self, older_than_s: float) -> tuple[list[str], list[str]]:
        """Those that nobody used for so long; what was removed, and what a container still uses."""
        removed: list[str] = []
        kept: list[str] = []
        now = time.time()
        for one in self.all():
            if now - max(one.used or 0.0, _seconds(one.made)) < older_than_s:
                continue
            try:
                self._docker.ask(self._docker.command, "image", "rm", one.name)
            except AienvError:
                kept.append(one.name)
                continue
            self._path(one.name).unlink(missing_ok=True)
            removed.append(one.name)
        return removed, kept

    def _use(self, name: str) -> tuple[int, float | None]:
        try:
            value: Mapping[str, Json] = json.loads(self._path(name).read_bytes())
            used = value["used"]
            return _number(value["hits"]), float(used) if isinstance(used, (int, float)) else None
        except (OSError, ValueError, KeyError, TypeError):
            return 0, None

    def _path(self, name: str) -> Path:
        return self._folder / f"{name.rpartition(':')[2]}.json"


def _number(value: Json) -> int:
    return int(value) if isinstance(value, (int, float)) else 0


def _seconds(stamp: str) -> float:
    """Of the engine's way to write a moment; its digits beyond a second do not count."""
    try:
        return float(calendar.timegm(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        return 0.0
