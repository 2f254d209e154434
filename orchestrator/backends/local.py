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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from orchestrator.backends import cgroups
from orchestrator.backends.cgroups import Groups
from orchestrator.backends.processes import ProcessId, alive, end, identify, parse
from orchestrator.backends.protocol import BackendFacts, Capabilities, EnvironmentRequest, EnvRef, Role
from orchestrator.backends.scope import Scope, bus_environment, find_scope
from orchestrator.errors import BackendUnavailable, EnvironmentFailed
from orchestrator.launcher.client import LauncherClient, greet
from orchestrator.launcher.command import EMPTY_FILE, NEUTRAL_FOLDER, LauncherConfig
from orchestrator.model.plan import BackendName, ImagePlan
from orchestrator.sandbox.userns import cause_and_cure

ROOT_BECOMES = 65533
MINIMUM_BWRAP = (0, 8, 0)
PROBE_DEADLINE_S = 10.0
PID_FILE, GROUP_FILE = "launcher.pid", "control-groups"
ROLES: tuple[Role, ...] = ("task", "harvest")
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

    def host_pid(self) -> int | None:
        return self.process.pid

    def describe_end(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(2.0)
        code = self.process.poll()
        said = self.log.read_text("utf-8", "replace").strip()[-500:] if self.log.exists() else ""
        how = "is still running" if code is None else f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return f"the launcher {how}" + (f": {said}" if said else "")


@dataclass(frozen=True, slots=True)
class Means:
    """What holds a run as a whole to its limits: a systemd scope, or groups of our own, or neither."""

    scope: Scope | None
    groups: Groups | None

    @property
    def words(self) -> str:
        if self.scope is not None:
            return "systemd scope (cgroup v2)"
        if self.groups is not None:
            rest = "" if "cpu" in self.groups.controllers else "; whole processors, as a wish"
            return f"control groups (cgroup v{self.groups.version}): {', '.join(self.groups.controllers)}{rest}"
        return "rlimits: memory per process (the whole is watched), disk per file (the whole is watched), whole processors, as a wish"

    @property
    def unlimited(self) -> tuple[str, ...]:
        """What nothing holds: memory that is only watched may go over its limit for a moment, and a process may leave the processors
        that it was started on. The number of processes is held by an rlimit."""
        held = ("memory", "cpu") if self.scope is not None else self.groups.controllers if self.groups is not None else ()
        return tuple(limit for limit, controller in (("memory", "memory"), ("cpus", "cpu")) if controller not in held)


class LocalBackend:
    """Bubblewrap on the host. ``work`` is the folder that holds one folder per run."""

    name: ClassVar[BackendName] = "local"

    def __init__(self, work: Path) -> None:
        self._work = work
        self._found: Means | None = None

    def _means(self) -> Means:
        """Found once: the probe costs a round trip to systemd, or a few folders."""
        if self._found is None:
            scope = find_scope(os.environ, os.getuid())
            self._found = Means(scope, None if scope else cgroups.find_groups())
        return self._found

    def check(self) -> BackendFacts:
        program = _bwrap_program()
        version = _bwrap_version(program)
        _probe(program)
        uid, _ = agent_user(os.getuid(), os.getgid())
        means = self._means()
        details = (("bwrap", program), ("runs as uid", str(uid)), ("limits", means.words))
        return BackendFacts("local", None, version, Capabilities("sandbox", images=False, unlimited=means.unlimited), details)

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
        (control / NEUTRAL_FOLDER).mkdir(mode=0o755, exist_ok=True)
        log = control / f"launcher-{request.role}.log"
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        config = _config(request, theirs.fileno())
        with ours, theirs, log.open("ab") as errors:
            scope, groups = self._means().scope, self._means().groups
            name = cgroups.group_name(request.run_id, request.role)
            if groups is not None:
                groups.make(name, request.limits, control / f"{request.role}-{GROUP_FILE}")
            program = (_base_python(), "-I", "-S", str(_PACKAGE / "launcher" / "main.py"), config.as_word())
            process = subprocess.Popen(
                (*(scope.command(name, request.limits) if scope else ()), *program),
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
            if groups is not None:
                groups.join(name, process.pid)  # it starts nothing before it is told to
            client = greet(ours.dup(), request.deadline_s)
        return LocalEnvironment(EnvRef(request.run_id, request.role, "local", str(process.pid)), client, process, log)

    def survey(self) -> Iterable[EnvRef]:
        for control in sorted(self._work.glob("*/control")):
            for role in ROLES:
                ref = EnvRef(control.parent.name, role, "local", None)
                process = self._recorded(ref)
                if process is not None and alive(process):
                    yield replace(ref, native_id=str(process.pid))
                elif cgroups.exists(self._groups(ref.run_id, role)):
                    yield ref

    def destroy(self, ref: EnvRef, deadline_s: float = 20.0) -> tuple[str, ...]:
        removed: tuple[str, ...] = ()
        process = self._recorded(ref)
        if process is not None and alive(process):
            # Its sandboxes die with it (--die-with-parent), and with each sandbox's pid 1 everything inside.
            if not end(process, deadline_s):
                raise EnvironmentFailed(f"launcher {process.pid} of run {ref.run_id} does not die")
            removed = (f"process {process.pid}",)
        return (*removed, *cgroups.remove(self._groups(ref.run_id, ref.role), deadline_s))

    def _groups(self, run_id: str, role: Role) -> tuple[Path, ...]:
        """The folders of a run's control group, whether or not they exist."""
        file = self._work / run_id / "control" / f"{role}-{GROUP_FILE}"
        return cgroups.recorded(file.read_text(), cgroups.group_name(run_id, role)) if file.exists() else ()

    def _recorded(self, ref: EnvRef) -> ProcessId | None:
        file = self._work / ref.run_id / "control" / f"{ref.role}-{PID_FILE}"
        return parse(file.read_text()) if file.exists() else None


def _config(request: EnvironmentRequest, descriptor: int) -> LauncherConfig:
    folders = request.folders
    python, extra = harvest_python()
    visible = (*((path, path) for path in (*extra, *request.expose)), *request.mounts)
    sources = {
        "workspace": str(folders.workspace),
        "outbox": str(folders.outbox),
        "empty": str(folders.control / EMPTY_FILE),
        "neutral": str(folders.control / NEUTRAL_FOLDER),
        "harvest": str(_PACKAGE / "harvest" / "inside"),
        **({"home": str(folders.home)} if folders.home is not None else {}),
        **{f"objects/{name}": str(path) for name, path in folders.objects},
        **{f"visible/{index}": source for index, (source, _) in enumerate(visible)},
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
        visible=tuple((f"visible/{index}", path) for index, (_, path) in enumerate(visible)),
        become=(request.uid, request.gid) if os.getuid() == 0 else None,
    )


def _base_python() -> str:
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def harvest_python() -> tuple[str, tuple[str, ...]]:
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
