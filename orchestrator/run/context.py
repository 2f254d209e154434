"""What the stages of one run share. The main process and a recovery each build one."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchestrator.audit.record import Head
from orchestrator.backends.protocol import Backend, Environment
from orchestrator.model.paths import Paths
from orchestrator.model.plan import BackendName, Plan
from orchestrator.report.progress import Progress
from orchestrator.run.agent_hooks import HooksSession, NoHooks
from orchestrator.run.docker import DockerSession, NoDocker
from orchestrator.run.faults import Faults
from orchestrator.run.folder import RunFolder
from orchestrator.run.journal import Journal
from orchestrator.run.network import NetworkSession, NoNetwork
from orchestrator.run.steps import Step


class Recorder(Protocol):
    """Writes the event log: the broker for a run, the log itself for a recovery."""

    def event(self, kind: str, facts: Mapping[str, object]) -> None: ...

    def sync(self) -> Head: ...

    def close(self) -> Head: ...


@dataclass(frozen=True, slots=True)
class Workspace:
    """What the clone turned out to be. ``objects``: (name, host folder); ``git_dirs`` and ``masks`` are paths below the workspace.

    ``refs``: what the clone began with, as (full name, object id). ``shallow``: commits at which the history is cut.
    ``masked``: device and inode of each masked file.
    """

    objects: tuple[tuple[str, str], ...]
    git_dirs: tuple[str, ...]
    masks: tuple[str, ...]
    masked: tuple[tuple[int, int], ...]
    refs: tuple[tuple[str, str], ...]
    shallow: tuple[str, ...]
    lfs: bool


@dataclass(slots=True)
class Context:
    paths: Paths
    folder: RunFolder
    plan: Plan
    plan_digest: str
    journal: Journal
    recorder: Recorder
    faults: Faults
    progress: Progress
    backend: Backend
    make_backend: Callable[[BackendName], Backend]
    workspace: Workspace | None = None
    environment: Environment | None = None
    harvest_time: int | None = None  # kept across attempts, so that a second one makes the same commits
    notes: list[str] = field(default_factory=list)
    network: NetworkSession = field(default_factory=NoNetwork)
    docker: DockerSession = field(default_factory=NoDocker)
    hooks: HooksSession = field(default_factory=NoHooks)

    def quiet(self) -> None:
        """The last command has no way out and no socket any more. Never raises."""
        self.network.quiet()
        self.docker.quiet()
        self.hooks.quiet()

    @contextmanager
    def step(self, step: Step, doing: str, **facts: object) -> Iterator[dict[str, Any]]:
        """One step of the journal: announced, done, and only when it went well, ended with the facts that were put in.

        Facts whose name begins with ``_`` are for the journal alone, not for the event log.
        """
        self.journal.begin(step, **facts)
        self.faults.reach(step, "begin")
        learned: dict[str, Any] = {}
        with self.progress.phase(step.value, doing):
            yield learned
        self.journal.end(step, **learned)
        self.recorder.event(f"phase.{step.value}", {"seconds": round(self.progress.timings[step.value], 6), **_public(learned)})
        self.faults.reach(step, "end")


def _public(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if not name.startswith("_")}
