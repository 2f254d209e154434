"""What a backend is: a small protocol, with its differences declared.

A backend makes a place (an environment) in which our launcher runs, and takes it away again. It reports facts; the phases
belong to ``run``. Every verb is idempotent and keyed by the run id; "already gone" is success.

    environment  = folders on the host + one launcher process at the place
    launcher     = starts each command under bubblewrap, see ``orchestrator.launcher``
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from orchestrator.launcher.client import LauncherClient
from orchestrator.model.plan import BackendName, ImagePlan, Isolation
from orchestrator.model.task import Limits

Role = Literal["task", "harvest"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this backend can and cannot do. ``unlimited`` names the limits that it cannot enforce here."""

    isolation: Isolation
    images: bool
    unlimited: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BackendFacts:
    """What ``check`` found: an engine's version, a kernel's features. Goes into the report and ``aienv doctor``."""

    name: BackendName
    address: str | None
    version: str
    capabilities: Capabilities
    details: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Folders:
    """Host folders of one run that the environment sees.

    ``workspace`` (writable) appears at ``EnvironmentRequest.workspace``; ``objects`` (read-only: name -> object folder of a
    mirror) at ``/run/aienv/objects/<name>``; ``outbox`` (writable for harvest only) at ``/run/aienv/outbox``; ``control``
    holds the launcher's socket and is seen by the launcher alone, at ``/run/aienv/control``. ``home`` (writable; None: each command has a
    fresh one) is the launcher's source ``home``, in a container at ``/run/aienv/home``.
    """

    workspace: Path
    objects: tuple[tuple[str, Path], ...]
    outbox: Path
    control: Path
    home: Path | None = None


@dataclass(frozen=True, slots=True)
class EnvironmentRequest:
    """All that is needed to make one environment. ``run_id`` and ``role`` together name it.

    ``expose`` are extra host folders, read-only at the same path (local backend only). ``mounts`` are the agent's programs, as (host
    folder, path inside), read-only.
    """

    run_id: str
    role: Role
    workspace: str
    folders: Folders
    image: ImagePlan | None
    uid: int
    gid: int
    limits: Limits
    labels: Mapping[str, str]
    expose: tuple[str, ...]
    deadline_s: float
    mounts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class EnvRef:
    """Enough to find an environment again after a crash: its run, its role and the backend's own id where known."""

    run_id: str
    role: Role
    backend: BackendName
    native_id: str | None


class Environment(Protocol):
    """A place that is up, with a launcher that answers."""

    ref: EnvRef
    launcher: LauncherClient

    def host_pid(self) -> int | None:
        """A process of the place, as this machine counts, from which all others there descend.

        None where it is not to be seen from here. Never raises.
        """
        ...

    def describe_end(self) -> str:
        """Why the place is gone, in words, once the launcher's connection has ended. Never raises."""
        ...


class Backend(Protocol):
    """One kind of place."""

    name: ClassVar[BackendName]

    def check(self) -> BackendFacts:
        """Find out whether this backend can be used, and what it offers.

        Raises:
            BackendUnavailable: with the cause and the cure.
        """
        ...

    def resolve_image(self, reference: str | None) -> ImagePlan | None:
        """Pin an image by id (None: the default image, made first where it is missing). None where images mean nothing.

        Raises:
            EnvironmentFailed: neither local nor obtainable.
        """
        ...

    def open(self, request: EnvironmentRequest) -> Environment:
        """Make the place and wait until its launcher answers, at most ``deadline_s`` seconds.

        What was made when this fails carries our labels, so ``destroy`` finds it.

        Raises:
            EnvironmentFailed: with what the engine or the launcher said.
        """
        ...

    def survey(self) -> Iterable[EnvRef]:
        """All places of ours that exist now, of any run."""
        ...

    def destroy(self, ref: EnvRef, deadline_s: float = 20.0) -> tuple[str, ...]:
        """Remove everything of this run and role; what is already gone is no error. Returns what was removed.

        Raises:
            EnvironmentFailed: something is left and could not be removed within ``deadline_s``.
        """
        ...
