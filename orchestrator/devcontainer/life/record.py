"""What was learned of a container, kept on this machine: its user, the environment of that user's shell, which hooks ran to their end.

It saves a look into the container at each command. All of it can be learned again; a file that cannot be read counts as none.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from orchestrator.devcontainer.engine import Docker
from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.life.hooks import ONCE, Hook
from orchestrator.devcontainer.life.inside import User
from orchestrator.repos.lock import locked, try_locked

ALONE_S = 3600.0
KEEP_S = 7 * 86400.0
_ID = re.compile(r"[0-9a-f]{12,64}")


@dataclass(frozen=True, slots=True)
class Record:
    """``users``: by the name asked for; ``probes``: the shell's environment, by name and kind of probe; both since ``started``.
    ``hooks``: with the moment of creation or start after which they ran."""

    created: str
    started: str
    users: Mapping[str, User] = field(default_factory=dict)
    probes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    hooks: Mapping[str, str] = field(default_factory=dict)
    patched: bool = False

    def done(self, container: "Moments") -> frozenset[Hook]:
        return frozenset(hook for hook, since in ONCE.items() if self.hooks.get(hook) == container.of(since))


@dataclass(frozen=True, slots=True)
class Moments:
    """When a container was made and last started, as the engine writes it."""

    created: str
    started: str

    def of(self, since: str) -> str:
        return self.created if since == "created" else self.started


def moments(container: Object) -> Moments:
    state = container.get("State")
    started = state.get("StartedAt") if isinstance(state, dict) else None
    return Moments(str(container.get("Created")), str(started))


class Records:
    """The files, below ``folder``, each readable by its user alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, container: Object) -> Record:
        """What still holds of it: the rest was true before the container was started again."""
        now = moments(container)
        found = self._read(self.path(container))
        if found is None or found.created != now.created:
            return Record(now.created, now.started)
        return found if found.started == now.started else replace(found, started=now.started, users={}, probes={})

    def save(self, container: Object, record: Record) -> None:
        document = {
            "created": record.created, "started": record.started, "hooks": dict(record.hooks), "patched": record.patched,
            "users": {asked: [one.name, one.uid, one.home, one.shell] for asked, one in record.users.items()},
            "probes": {name: dict(found) for name, found in record.probes.items()},
        }  # fmt: skip
        write_private(self.path(container), json.dumps(document).encode())

    @contextmanager
    def alone(self, labels: Mapping[str, str], tell: Callable[[str], None]) -> Iterator[None]:
        """One ``up`` of what has ``labels`` at a time: two would make two containers, or run hooks twice. ``tell``: that it waits.

        Raises:
            EnvironmentFailed: another one is at work for too long.
        """
        folder = self._folder / "locks"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / hashlib.sha256(json.dumps(dict(labels), sort_keys=True).encode()).hexdigest()
        if (held := try_locked(path)) is not None:
            try:
                yield
            finally:
                os.close(held)
            return
        tell("another up of this dev container is at work; waiting for its end")
        with locked(path, shared=False, deadline_s=ALONE_S, doing="another up of this dev container is at work"):
            yield

    def logs(self, container: Object) -> Path:
        """The folder for what hooks wrote."""
        folder = self.path(container).with_suffix("")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def forget(self, container_id: str) -> None:
        path = self._path(container_id)
        path.unlink(missing_ok=True)
        folder = path.with_suffix("")
        if folder.is_dir() and not folder.is_symlink():
            for one in folder.iterdir():
                one.unlink(missing_ok=True)
            folder.rmdir()

    def sweep(self, there: Collection[str]) -> None:
        """Forget containers that are not ``there`` and that nobody asked for in a week: they may be another engine's."""
        before = time.time() - KEEP_S
        for path in self._folder.glob("*.json") if self._folder.is_dir() else ():
            name = path.name.removesuffix(".json")
            if _ID.fullmatch(name) and name not in there and path.stat().st_mtime < before:
                self.forget(name)

    def project(self, name: str) -> "ProjectFile":
        """The compose project ``name``, as it is run."""
        return ProjectFile(self._folder / "compose" / f"{name}.yml")

    def variables(self, text: str) -> Path:
        """A file of variables for compose, in place of any other; by what is in it, so that two commands do not mix."""
        path = self._folder / "compose" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.env"
        write_private(path, text.encode("utf-8", "replace"))
        return path

    def compose(self, docker: Docker, name: str, file: "ProjectFile") -> tuple[str, ...]:
        """The beginning of a command line of compose for a project as it is run: with no variables but those that are in it."""
        return (*docker.compose_words("--project-name", name, "--env-file", str(self.variables(""))), "-f", str(file.path))

    def path(self, container: Object) -> Path:
        return self._path(str(container["Id"]))

    def _path(self, container_id: str) -> Path:
        assert _ID.fullmatch(container_id), container_id
        return self._folder / f"{container_id}.json"

    @staticmethod
    def _read(path: Path) -> Record | None:
        try:
            value = json.loads(path.read_bytes())
            users = {asked: User(*(str(word) for word in words)) for asked, words in value["users"].items()}
            probes = {name: {str(key): str(text) for key, text in found.items()} for name, found in value["probes"].items()}
            hooks = {str(hook): str(stamp) for hook, stamp in value["hooks"].items()}
            return Record(str(value["created"]), str(value["started"]), users, probes, hooks, bool(value["patched"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """A compose file of ours: it may hold what variables of the user stood for, and is the user's alone."""

    path: Path

    def write(self, data: bytes, services: Sequence[str] = ()) -> None:
        """``services``: those that were started; none means all."""
        write_private(self.path.with_suffix(".services"), json.dumps(list(services)).encode())
        write_private(self.path, data)

    def services(self) -> list[str]:
        try:
            value = json.loads(self.path.with_suffix(".services").read_bytes())
        except (OSError, ValueError):
            return []
        return [str(one) for one in value] if isinstance(value, list) else []

    def remove(self) -> None:
        for path in (self.path, self.path.with_suffix(".services")):
            path.unlink(missing_ok=True)


def write_private(path: Path, data: bytes) -> None:
    """A file that is the user's alone, whole at every moment."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(data)
    beside.replace(path)
