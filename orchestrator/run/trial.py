"""Whether a program starts: in a place like that of a run, with an empty workspace, no network and no credential."""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator import trees
from orchestrator.backends.local import agent_user
from orchestrator.backends.protocol import Backend, Environment, EnvironmentRequest, EnvRef, Folders
from orchestrator.errors import EnvironmentFailed
from orchestrator.launcher.client import RunRequest
from orchestrator.launcher.command import TOOLBOX
from orchestrator.model.paths import Paths
from orchestrator.model.plan import BackendName, ImagePlan
from orchestrator.model.task import Limits
from orchestrator.run.folder import new_run_id
from orchestrator.sandbox.argv import BASE_PATH, HOME, USER, Confinement, sandbox_arguments
from orchestrator.sandbox.seccomp import build_filter

DEADLINE_S = 120.0
OPEN_S = 60.0
KEPT_BYTES = 16 << 10
WORKSPACE = "/workspaces/trial"
CONTAINER_UID = 1000
_LIMITS = Limits(
    cpus=2.0, memory_bytes=4 << 30, pids=1024, disk_bytes=1 << 30, open_files=65536, timeout_s=DEADLINE_S, grace_s=1.0, output_bytes=1 << 20
)


@dataclass(frozen=True, slots=True)
class Trial:
    """``code``: as a shell shows it; None: it did not end in time, or the place was lost. ``said``: the end of its output."""

    code: int | None
    said: str
    lasted_s: float


class _Tail:
    def __init__(self) -> None:
        self.data = b""

    def stdout(self, data: bytes) -> None:
        self.data = (self.data + data)[-KEPT_BYTES:]

    stderr = stdout


def try_out(
    backend: Backend, paths: Paths, image: str | None, argv: tuple[str, ...], mounts: tuple[tuple[str, str], ...],
    env: tuple[tuple[str, str], ...] = (),
) -> Trial:  # fmt: skip
    """Run ``argv`` once. Everything of it is gone afterwards.

    Raises:
        EnvironmentFailed: the place could not be made, or its sandbox did not start.
    """
    with _opened(backend, paths, image, mounts) as (environment, found):
        facts = environment.launcher.facts
        variables = {"PATH": BASE_PATH, "LANG": "C.UTF-8"} | dict(found.env if found else ())
        variables |= {"HOME": HOME, "USER": USER.name, "SHELL": USER.shell, "TMPDIR": "/tmp", "TERM": "dumb", "CI": "1", "AIENV": "1"}
        variables["PATH"] += f":{TOOLBOX}/shell" if facts.container else ""  # as for an agent of a run
        confinement = Confinement(
            "agent", WORKSPACE, (), (), tuple(sorted((variables | dict(env)).items())), _LIMITS.memory_bytes // 8, WORKSPACE, ()
        )
        arguments = sandbox_arguments(confinement, facts, build_filter(facts.machine))
        tail, began = _Tail(), time.monotonic()
        request = RunRequest(arguments.options, arguments.data, argv, stdin=False, tty=None, rlimits={})
        process = environment.launcher.run(request, tail)
        ended = process.wait(DEADLINE_S)
        if ended is None:
            process.kill()
        elif ended.failure is not None:
            raise EnvironmentFailed(f"{argv[0]} could not be started: {ended.failure}", code="trial")
        return Trial(ended.code if ended else None, tail.data.decode("utf-8", "replace").strip(), time.monotonic() - began)


@contextlib.contextmanager
def _opened(
    backend: Backend, paths: Paths, image: str | None, mounts: tuple[tuple[str, str], ...]
) -> Iterator[tuple[Environment, ImagePlan | None]]:
    run_id = new_run_id(time.time())
    uid, gid = _user(backend.name)
    work = paths.work / run_id
    folders = Folders(work / "workspace", (), work / "outbox", work / "control")
    with contextlib.ExitStack() as undo:
        undo.callback(_removed, work)
        for path in (folders.workspace, folders.outbox, folders.control):
            path.mkdir(parents=True)
            if os.getuid() == 0:
                os.chown(path, uid, gid)
        found = backend.resolve_image(image)
        request = EnvironmentRequest(
            run_id, "task", WORKSPACE, folders, found, uid, gid, _LIMITS, {"dev.aienv.task": "trial"}, (), OPEN_S, mounts
        )
        undo.callback(backend.destroy, EnvRef(run_id, "task", backend.name, None))
        environment = backend.open(request)
        undo.callback(environment.launcher.close)
        yield environment, found


def _removed(work: Path) -> None:
    with contextlib.suppress(OSError):
        trees.remove(work)


def _user(name: BackendName) -> tuple[int, int]:
    """As for a run: never root."""
    uid, gid = os.getuid(), os.getgid()
    if name == "local":
        return agent_user(uid, gid)
    return (uid, gid or CONTAINER_UID) if uid != 0 else (CONTAINER_UID, CONTAINER_UID)

