"""The local backend: no container runtime, the same sandbox, on the host.

Bubblewrap is never started by the real uid 0: it would keep kernel uid 0, whatever its options say, and sysctl files ask
for that uid. Root therefore becomes ``ROOT_BECOMES`` first, a reserved uid that owns no file and no process of the host,
so that a sandboxed process can reach nothing of another user even where a namespace should fail.
"""

import contextlib
import errno
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from orchestrator.backends.processes import ProcessId, alive, end, identify, parse
from orchestrator.backends.protocol import BackendFacts, Capabilities, EnvironmentRequest, EnvRef, Role
from orchestrator.backends.scope import Scope, bus_environment, find_scope, unlimited
from orchestrator.errors import BackendUnavailable, EnvironmentFailed
from orchestrator.launcher.client import LauncherClient, greet
from orchestrator.launcher.command import EMPTY_FILE, LauncherConfig
from orchestrator.model.plan import BackendName, ImagePlan
from orchestrator.sandbox.userns import cause_and_cure

ROOT_BECOMES = 65533
MINIMUM_BWRAP = (0, 8, 0)
PROBE_DEADLINE_S = 10.0
PID_FILE = "launcher.pid"
_PACKAGE = Path(__file__).resolve().parent.parent


def agent_user(uid: int, gid: int) -> tuple[int, int]:
    """The user that the agent's processes run as on the host: the caller, never root."""
    return (uid, gid) if uid != 0 else (ROOT_BECOMES, ROOT_BECOMES)


@dataclass(slots=True)
class LocalEnvironment:
    ref: EnvRef
    launcher: LauncherClient
    process: "subprocess.Popen[bytes]"
    log: Path

    def describe_end(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(2.0)
        code = self.process.poll()
        said = self.log.read_text("utf-8", "replace").strip()[-500:] if self.log.exists() else ""
        how = "is still running" if code is None else f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return f"the launcher {how}" + (f": {said}" if said else "")


class LocalBackend:
    """Bubblewrap on the host. ``work`` is the folder that holds one folder per run."""

    name: ClassVar[BackendName] = "local"

    def __init__(self, work: Path) -> None:
        self._work = work
        self._scopes: list[Scope | None] = []

    def _scope(self) -> Scope | None:
        """Found once: the probe costs a round trip to systemd."""
        if not self._scopes:
            self._scopes.append(find_scope(os.environ, os.getuid()))
        return self._scopes[0]

    def check(self) -> BackendFacts:
        program = _bwrap_program()
        version = _bwrap_version(program)
        _probe(program)
        uid, _ = agent_user(os.getuid(), os.getgid())
        scope = self._scope()
        means = "systemd scope (cgroup v2)" if scope else "rlimits: memory per process, disk per file, whole processors"
        details = (("bwrap", program), ("runs as uid", str(uid)), ("limits", means))
        return BackendFacts("local", None, version, Capabilities("sandbox", images=False, unlimited=unlimited(scope)), details)

    def resolve_image(self, reference: str | None) -> ImagePlan | None:
        if reference is not None:
            raise EnvironmentFailed(
                f"image {reference!r} needs a container runtime; the local backend uses the host's own programs",
                remedy="leave out --image, or choose --backend docker",
            )
        return None

    def open(self, request: EnvironmentRequest) -> LocalEnvironment:
        control = request.folders.control
        (control / EMPTY_FILE).touch(mode=0o444)
        log = control / f"launcher-{request.role}.log"
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        config = _config(request, theirs.fileno())
        with ours, theirs, log.open("ab") as errors:
            scope = self._scope()
            program = (_base_python(), "-I", "-S", str(_PACKAGE / "launcher" / "main.py"), config.as_word())
            process = subprocess.Popen(
                (*(scope.command(f"aienv-{request.run_id}-{request.role}", request.limits) if scope else ()), *program),
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", **(bus_environment(os.environ) if scope else {})},
                start_new_session=True,
                cwd="/",
            )
            identity = identify(process.pid)
            if identity is not None:
                (control / f"{request.role}-{PID_FILE}").write_text(identity.as_text())
            theirs.close()
            client = greet(ours.dup(), request.deadline_s)
        return LocalEnvironment(EnvRef(request.run_id, request.role, "local", str(process.pid)), client, process, log)

    def survey(self) -> Iterable[EnvRef]:
        for file in sorted(self._work.glob(f"*/control/*-{PID_FILE}")):
            process = parse(file.read_text())
            if process is not None and alive(process):
                role: Role = "harvest" if file.name.startswith("harvest") else "task"
                yield EnvRef(file.parent.parent.name, role, "local", str(process.pid))

    def destroy(self, ref: EnvRef, deadline_s: float = 20.0) -> tuple[str, ...]:
        process = self._recorded(ref)
        if process is None or not alive(process):
            return ()
        # Its sandboxes die with it (--die-with-parent), and with each sandbox's pid 1 everything inside.
        if not end(process, deadline_s):
            raise EnvironmentFailed(f"launcher {process.pid} of run {ref.run_id} does not die")
        return (f"process {process.pid}",)

    def _recorded(self, ref: EnvRef) -> ProcessId | None:
        file = self._work / ref.run_id / "control" / f"{ref.role}-{PID_FILE}"
        return parse(file.read_text()) if file.exists() else None


def _config(request: EnvironmentRequest, descriptor: int) -> LauncherConfig:
    folders = request.folders
    python, visible = _harvest_python()
    sources = {
        "workspace": str(folders.workspace),
        "outbox": str(folders.outbox),
        "empty": str(folders.control / EMPTY_FILE),
        "harvest": str(_PACKAGE / "harvest" / "inside"),
        **{f"objects/{name}": str(path) for name, path in folders.objects},
        **{f"visible/{index}": path for index, path in enumerate((*visible, *request.expose))},
    }
    return LauncherConfig(
        container=False,
        connect=None,
        fd=descriptor,
        bwrap=_bwrap_program(),
        bwrap_env={},
        python=python,
        git="git",
        sources=sources,
        visible=tuple((f"visible/{index}", path) for index, path in enumerate((*visible, *request.expose))),
        become=(request.uid, request.gid) if os.getuid() == 0 else None,
    )


def _base_python() -> str:
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def _harvest_python() -> tuple[str, tuple[str, ...]]:
    """A Python for our own program inside the sandbox, and the folders it needs beyond the system's."""
    for minor in range(11, 20):
        if os.access(path := f"/usr/bin/python3.{minor}", os.X_OK) and os.path.isdir(f"/usr/lib/python3.{minor}/json"):
            return path, ()
    return _base_python(), (sys.base_prefix,)


def _bwrap_program() -> str:
    program = shutil.which("bwrap", path=os.environ.get("PATH", os.defpath))
    if program is None:
        raise BackendUnavailable(
            "bubblewrap (bwrap) is not installed, and the local backend has no other isolation",
            remedy="install it: apt install bubblewrap (Debian, Ubuntu), dnf install bubblewrap (Fedora)",
            code="bwrap-missing",
        )
    if os.stat(program).st_mode & stat.S_ISUID:
        raise BackendUnavailable(
            f"{program} is set-uid root, which has a history of escapes (CVE-2020-5291)",
            remedy=f"chmod u-s {program}, and allow unprivileged user namespaces instead",
            code="bwrap-setuid",
        )
    return program


def _bwrap_version(program: str) -> str:
    text = _output([program, "--version"]).stdout
    version = text.split()[-1] if text.split() else "0"
    parts = tuple(int(part) for part in version.split(".") if part.isdigit())
    if parts < MINIMUM_BWRAP:
        raise BackendUnavailable(
            f"bubblewrap {version} is too old: --disable-userns and --size need {'.'.join(map(str, MINIMUM_BWRAP))}",
            remedy="install a newer bubblewrap (Debian 12 has 0.8)",
            code="bwrap-old",
        )
    return version


def _output(command: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=PROBE_DEADLINE_S, check=False, **options)
    except (OSError, subprocess.SubprocessError) as problem:
        unmapped = "user" in options and isinstance(problem, OSError) and problem.errno in (errno.EINVAL, errno.EPERM)
        raise BackendUnavailable(
            f"bubblewrap could not be run{f' as uid {ROOT_BECOMES}' if unmapped else ''}: {problem}",
            remedy="root of this user namespace cannot become another user: run aienv as an ordinary user, or map more uids"
            if unmapped
            else f"install bubblewrap anew, or see what {command[0]} --version says",
            code="bwrap-broken",
        ) from problem


def _probe(program: str) -> None:
    """Run the very options that a sandbox needs; a binary that is there proves nothing."""
    options = (
        "--unshare-user",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-net",
        "--disable-userns",
        "--cap-drop",
        "ALL",
    )
    mounts = ("--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp")
    command = (program, *options, *mounts, "--", "/bin/sh", "-c", "exit 0")
    uid, gid = agent_user(os.getuid(), os.getgid())
    drop = {"user": uid, "group": gid, "extra_groups": []} if os.getuid() == 0 else {}
    done = _output(command, env={}, cwd="/", **drop)
    if done.returncode != 0:
        cause, cure = cause_and_cure(done.stderr.strip(), _kernel_settings())
        raise BackendUnavailable(f"bubblewrap cannot make a sandbox here: {cause}", remedy=cure, code="no-user-namespaces")


def _kernel_settings() -> dict[str, str]:
    """The switches that forbid unprivileged user namespaces, as far as this kernel has them."""
    names = (
        "kernel/unprivileged_userns_clone",
        "kernel/apparmor_restrict_unprivileged_userns",
        "user/max_user_namespaces",
    )
    found = {}
    for name in names:
        with contextlib.suppress(OSError):
            found[name.replace("/", ".")] = Path("/proc/sys", name).read_text().strip()
    found["in_container"] = "yes" if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists() else "no"
    return found
