"""The Docker socket of a run: what the broker's guard is told, what commands inside see of it, and how all that came of it ends."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Protocol

from orchestrator.broker.client import Broker
from orchestrator.errors import AienvError, EnvironmentFailed
from orchestrator.guard.calls import PathMap, Session
from orchestrator.guard.config import GuardConfig
from orchestrator.images import toolbox
from orchestrator.launcher.client import Place, Process
from orchestrator.model.guard import EGRESS_NAME, EGRESS_PORT, SOCKET_INSIDE, SOCKET_NAMES, GuardPlan
from orchestrator.model.network import Phase
from orchestrator.model.plan import Plan
from orchestrator.report.progress import Progress
from orchestrator.run.folder import RunFolder

LISTENER = "docker"
GUARD_FOLDER = "guard"  # below the work folder
STAND_IN = "docker.sock"  # below the guard's folder: for containers that want the engine's socket themselves
TAKE_BACK_S = 300.0
HOLD_S = 20.0  # to pause all containers of a run
NO_PROXY = ("localhost", "127.0.0.1", "::1")

Ended = tuple[tuple[str, ...], tuple[str, ...]]  # removed, left


class DockerSession(Protocol):
    """One run's guard, as the stages of the run use it. Not thread-safe."""

    def places(self) -> Mapping[str, Place]:
        """What is to listen inside, by name; empty where there is no guard."""
        ...

    def listen(self, phase: Phase, listener: socket, process: Process) -> None:
        """Serve a command that has just been let go. The caller closes its own copy afterwards.

        Raises:
            AienvError: nobody will serve it.
        """
        ...

    def quiet(self) -> None:
        """Close it for the last command; its containers go on. Never raises."""
        ...

    def still(self) -> AbstractContextManager[None]:
        """No container of the run does anything inside this block. Raises EnvironmentFailed: one goes on."""
        ...

    def close(self) -> Ended | None:
        """End the guard and what was made through it; None: nobody is left who could, it must be swept. Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class NoDocker:
    """No socket, no variable."""

    def places(self) -> Mapping[str, Place]:
        return {}

    def listen(self, phase: Phase, listener: socket, process: Process) -> None:
        raise AssertionError("nothing listens where there is no guard")

    def quiet(self) -> None:
        return

    def still(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def close(self) -> Ended | None:
        return None


@dataclass(frozen=True, slots=True)
class Docker:
    """A guard that the broker serves."""

    plan: GuardPlan
    broker: Broker
    run_id: str

    def places(self) -> Mapping[str, Place]:
        return {LISTENER: SOCKET_INSIDE}

    def listen(self, phase: Phase, listener: socket, process: Process) -> None:
        with contextlib.ExitStack() as undo:
            sockets = {LISTENER: listener.fileno()}
            if self.plan.mode == "guarded":  # only its containers' ports come to be inside
                with contextlib.suppress(EnvironmentFailed):  # a command that has ended at once needs none
                    sockets["porter"] = undo.enter_context(process.porter()).fileno()
            self.broker.listen_docker(phase, sockets)

    def quiet(self) -> None:
        with contextlib.suppress(EnvironmentFailed):  # a broker that is gone has closed it; the run hears of it elsewhere
            self.broker.quiet_docker()

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        if self.plan.mode != "guarded":
            yield  # nothing is made through it, or nobody knows what
            return
        from orchestrator.guard.sweep import freeze, thaw

        held = freeze(self.plan.daemon, self.run_id, HOLD_S)
        try:
            if held.problems:
                raise EnvironmentFailed(f"the run's containers could not be paused: {'; '.join(held.problems)}", code="guard")
            yield
        finally:
            if held.paused or held.stopped:
                thaw(self.plan.daemon, held, HOLD_S)

    def close(self) -> Ended | None:
        with contextlib.suppress(EnvironmentFailed):
            return self.broker.end_guard()
        return None


def guard_folder(folder: RunFolder) -> Path:
    """Of the guard's own; what it mounts lies below, so it is unmounted before it is removed."""
    return folder.work / GUARD_FOLDER


def has_containers(plan: Plan) -> bool:
    """Whether the agent may have containers of its own, which mount the workspace."""
    return plan.guard is not None and plan.guard.mode != "readonly"


def take_back(plan: Plan, folder: RunFolder, cache: Path) -> str | None:
    """Give the workspace back to the run's user: containers write as root, or as users of their own. What could not be done, in words."""
    guard = plan.guard
    if guard is None or not has_containers(plan) or not folder.workspace(plan.repo.name).is_dir():
        return None
    from orchestrator.guard.takeback import Means, NotTaken, reclaim

    try:
        tools = None if os.geteuid() == 0 else str(toolbox.ensure(cache, lambda text: None))
        means = Means(guard.daemon, folder.id, plan.image.id if plan.image else None, tools)
        reclaim(folder.workspace(plan.repo.name), plan.uid, plan.gid, means, TAKE_BACK_S)
    except (NotTaken, AienvError) as problem:
        return f"files that containers made could not be taken back: {problem}"
    return None


def open_docker(plan: Plan, folder: RunFolder, cache: Path, container: str | None, broker: Broker, progress: Progress) -> DockerSession:
    """Tell the broker what its guard is to be; its answer is awaited by ``Broker.await_guard``. ``container``: the agent's, by id."""
    guard = plan.guard
    if guard is None:
        return NoDocker()
    guard_folder(folder).mkdir(mode=0o711, exist_ok=True)
    tools = str(toolbox.ensure(cache, progress.say)) if guard.mode == "guarded" else None
    broker.begin_guard(guard_config(plan, folder, container, tools))
    return Docker(guard, broker, folder.id)


def guard_config(plan: Plan, folder: RunFolder, container: str | None, tools: str | None) -> GuardConfig:
    """``tools``: the toolbox; None: nothing is made through this guard."""
    guard = plan.guard
    assert guard is not None
    place = guard_folder(folder)
    online = plan.network.mode != "none"
    session = Session(
        id=folder.id,
        plan=guard,
        # Nothing of the agent's has run: where our own folders really are, nobody else has a say.
        maps=(PathMap(plan.workspace, os.path.realpath(folder.workspace(plan.repo.name))),),
        sockets=SOCKET_NAMES,
        stand_in=str(place / STAND_IN) if guard.mode == "guarded" else None,
        uid=plan.uid,
        gid=plan.gid,
        proxy=f"http://{EGRESS_NAME}:{EGRESS_PORT}" if online else None,
        no_proxy=(*NO_PROXY, *guard.services) if online else (),
    )
    # Nothing of the user's is adopted: the run has a clone, and brings up its own.
    return GuardConfig(
        session=session,
        folder=str(place),
        writers=(container,) if container else (),
        toolbox=tools,
        gate_image=plan.image.id if plan.image else None,
    )
