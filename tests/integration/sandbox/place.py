"""A run's context around a real environment of each backend, with as little of a run as commands need."""

import contextlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.audit.record import EMPTY, Head
from orchestrator.backends.local import ROOT_BECOMES, LocalBackend
from orchestrator.backends.protocol import Backend, EnvironmentRequest, EnvRef, Folders
from orchestrator.launcher.client import Ended, LauncherClient, Process, RunRequest, Sink, TerminalSize
from orchestrator.model.network import CLOSED, NetworkPlan, Phase
from orchestrator.model.paths import Paths
from orchestrator.report.progress import Progress
from orchestrator.run import folder as folders
from orchestrator.run.commands import start
from orchestrator.run.context import Context, Workspace
from orchestrator.run.faults import Faults
from orchestrator.run.journal import Journal
from orchestrator.run.network import NetworkSession, NoNetwork
from orchestrator.sandbox.argv import Option, PlaceFacts
from tests import engine as engines
from tests.engine import Engine
from tests.integration.docker.places import backend_for
from tests.unit.run.test_run_pieces import PLAN

DEADLINE_S = 60.0
Change = Callable[[tuple[Option, ...]], tuple[Option, ...]]


@dataclass
class Collect:
    """A command's output."""

    out: bytes = b""
    err: bytes = b""

    def stdout(self, data: bytes) -> None:
        self.out += data

    def stderr(self, data: bytes) -> None:
        self.err += data


@dataclass
class Events:
    """The event log, kept in a list."""

    seen: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def event(self, kind: str, facts: Mapping[str, object]) -> None:
        self.seen.append((kind, dict(facts)))

    def sync(self) -> Head:
        return EMPTY

    def close(self) -> Head:
        return EMPTY

    def selftests(self) -> list[dict[str, Any]]:
        return [facts for kind, facts in self.seen if kind == "sandbox.selftest"]


@dataclass
class Proxy:
    """A network session that keeps the sockets, as the broker does."""

    plan: NetworkPlan = field(default_factory=lambda: replace(CLOSED, mode="allowlist"))
    listeners: list[socket.socket] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)

    def inputs(self) -> tuple[tuple[str, bytes], ...]:
        return (("/run/aienv/ca.pem", b"pem\n"), ("/run/aienv/ca.jks", b"\xfe\xed"))

    def env(self, phase: Phase) -> tuple[tuple[str, str], ...]:
        return (("PHASE", phase),)

    def listen(self, phase: Phase, sockets: Sequence[socket.socket]) -> None:
        self.phases.append(phase)
        self.listeners = [sock.dup() for sock in sockets]

    def quiet(self) -> None:
        while self.listeners:
            self.listeners.pop().close()


@dataclass(frozen=True)
class Changed:
    """A launcher that is asked for something else than the product asks for: as where a layer does not do its work."""

    client: LauncherClient
    change: Change

    @property
    def facts(self) -> PlaceFacts:
        return self.client.facts

    def run(self, request: RunRequest, sink: Sink) -> Process:
        return self.client.run(replace(request, options=self.change(request.options)), sink)


@dataclass(frozen=True)
class Around:
    """An environment with another launcher in front of its own."""

    launcher: Any


@dataclass
class Place:
    """A context with an environment that is up."""

    context: Context
    environment: Any
    events: Events
    request: EnvironmentRequest

    def start(
        self, *argv: str, phase: Phase = "agent", change: Change | None = None, tty: TerminalSize | None = None
    ) -> tuple[Process, Collect]:
        sink = Collect()
        environment: Any = Around(Changed(self.environment.launcher, change)) if change else self.environment
        return start(self.context, environment, phase, argv, sink, tty), sink

    def run(self, *argv: str, phase: Phase = "agent", change: Change | None = None) -> tuple[Ended, Collect]:
        process, sink = self.start(*argv, phase=phase, change=change)
        ended = process.wait(DEADLINE_S)
        assert ended is not None
        return ended, sink

    @property
    def canary(self) -> str:
        return str(self.context.folder.run / "canary")


@contextlib.contextmanager
def _run_folder() -> Iterator[Paths]:
    """Reachable for whom root becomes, so that what is hidden is hidden by the sandbox and by nothing else."""
    base = Path(tempfile.mkdtemp(prefix="aienv-sandbox-", dir="/tmp"))
    base.chmod(0o755)
    try:
        yield Paths(base / "config", base / "state", base / "cache")
    finally:
        shutil.rmtree(base)


@contextlib.contextmanager
def opened(backend: Backend, paths: Paths, uid: int, gid: int, image: str | None, network: NetworkSession | None = None) -> Iterator[Place]:
    """An environment, and what a command's start needs of a run."""
    plan = replace(PLAN, backend=backend.name, uid=uid, gid=gid, env=(), limits=replace(PLAN.limits, memory_bytes=512 << 20, pids=512))
    folder = folders.run_folder(paths, folders.new_run_id(time.time()))
    lock = folders.create(folder)
    for path in (paths.state, paths.runs, folder.run):
        path.chmod(0o755)
    workspace = folder.workspace(plan.repo.name)
    for path in (workspace, folder.outbox, folder.control):
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, uid, gid)
    events = Events()
    journal = Journal(folder.journal, folder.reserve)
    context = Context(paths, folder, plan, "sha256:0", journal, events, Faults({}), Progress(quiet=True), backend, lambda name: backend)
    context.workspace = Workspace((), (), (), (), (), (), False)
    context.network = network or NoNetwork()
    request = EnvironmentRequest(
        folder.id, "task", plan.workspace, Folders(workspace, (), folder.outbox, folder.control), backend.resolve_image(image), uid, gid,
        plan.limits, {}, (), DEADLINE_S,
    )  # fmt: skip
    try:
        environment = backend.open(request)
        yield Place(context, environment, events, request)
        environment.launcher.close()
    finally:
        backend.destroy(EnvRef(folder.id, "task", backend.name, None))
        lock.release()


@contextlib.contextmanager
def local(network: NetworkSession | None = None) -> Iterator[Place]:
    """On the host, as an ordinary user, or as the one whom root becomes."""
    uid, gid = (os.getuid(), os.getgid()) if os.getuid() else (ROOT_BECOMES, ROOT_BECOMES)
    with _run_folder() as paths, opened(LocalBackend(paths.state / "work"), paths, uid, gid, None, network) as place:
        yield place


@contextlib.contextmanager
def docker(engine: Engine, network: NetworkSession | None = None, kind: str = "busybox") -> Iterator[Place]:
    """In a container; of an image that has a shell and no libc, where nothing else is asked for."""
    with _run_folder() as paths, opened(backend_for(engine), paths, 1000, 1000, engines.image(engine, kind), network) as place:
        yield place
