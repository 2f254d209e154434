"""Gathers what ``diagnosis`` judges. Every part has a deadline, and all run side by side: what is mute holds nothing up."""

import contextlib
import ctypes
import importlib.util
import json
import os
import platform
import shutil
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, Literal, TypeVar

from orchestrator.backends import cgroups
from orchestrator.backends.local import ROOT_BECOMES
from orchestrator.backends.protocol import Backend
from orchestrator.backends.scope import find_scope
from orchestrator.backends.select import maker
from orchestrator.errors import AienvError
from orchestrator.model.paths import Paths
from orchestrator.recovery.diagnosis import Answer, Bwrap, Clock, Disk, Facts, Groups, Problem, SshAgent, Trust, Unknown, Usable
from orchestrator.run import folder as folders
from orchestrator.secrets.trust import user_bundle

T = TypeVar("T")

DEADLINE_S = 20.0  # an engine that is mute is given up by its own client before
PROGRAM_S = 10.0
AGENT_S = 2.0
MAX_BUNDLE_BYTES = 64 << 20
SETTINGS = ("kernel/unprivileged_userns_clone", "kernel/apparmor_restrict_unprivileged_userns", "user/max_user_namespaces")
CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv", "/run/systemd/container")
SSH_REQUEST_IDENTITIES, SSH_IDENTITIES_ANSWER = 11, 12
TIMEX_BYTES, TIME_ERROR = 256, 5  # what adjtimex answers while nothing sets the clock
_PROBE = Path(__file__).with_name("kernel_probe.py")


class Part(Generic[T]):
    """One thing that is being found out, on a thread of its own."""

    def __init__(self, find: Callable[[], T]) -> None:
        self._found: T | Unknown = Unknown(f"no answer within {DEADLINE_S:.0f} s")
        self._thread = threading.Thread(target=self._run, args=(find,), daemon=True)
        self._thread.start()

    def _run(self, find: Callable[[], T]) -> None:
        try:
            self._found = find()
        except (AienvError, OSError, ValueError, subprocess.SubprocessError) as problem:
            self._found = Unknown(str(problem) or type(problem).__name__)

    def get(self, end_s: float) -> T | Unknown:
        """What was found until ``end_s`` on the monotonic clock."""
        self._thread.join(max(0.0, end_s - time.monotonic()))
        return self._found


def gather(paths: Paths, environ: Mapping[str, str]) -> Facts:
    """Everything, within ``DEADLINE_S``."""
    end = time.monotonic() + DEADLINE_S
    make = maker(paths.work, paths.cache, environ, lambda text: None)
    docker, local = Part(lambda: _answer(make("docker"))), Part(lambda: _answer(make("local")))
    kernel, bwrap = Part(_kernel), Part(lambda: _bwrap(environ))
    git, git_lfs = Part(lambda: _program("git", environ)), Part(lambda: _program("git-lfs", environ))
    groups, disk, trust = Part(lambda: _groups(environ)), Part(lambda: _disk(paths)), Part(lambda: _trust(environ))
    ssh_agent, unfinished = Part(lambda: _ssh_agent(environ)), Part(lambda: _unfinished(paths))
    return Facts(
        uid=os.getuid(),
        python=(platform.python_version(), sys.executable),
        machine=platform.machine(),
        release=platform.release(),
        container=any(os.path.exists(mark) for mark in CONTAINER_MARKS),
        settings=_settings(),
        kernel=kernel.get(end),
        apparmor=_apparmor(),
        selinux=_selinux(),
        seccomp_actions=tuple(_text("/proc/sys/kernel/seccomp/actions_avail").split()),
        bwrap=bwrap.get(end),
        local=local.get(end),
        docker=docker.get(end),
        groups=groups.get(end),
        git=git.get(end),
        git_lfs=git_lfs.get(end),
        disk=disk.get(end),
        clock=_clock(),
        trust=trust.get(end),
        ssh_agent=ssh_agent.get(end),
        unfinished=unfinished.get(end),
    )


def _text(path: str) -> str:
    """A small file of the kernel's, empty where there is none."""
    try:
        return Path(path).read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def _output(*argv: str, environ: Mapping[str, str] | None = None) -> str:
    """What a program says.

    Raises:
        ValueError, OSError, subprocess.SubprocessError: it cannot be run, fails, or is silent for too long.
    """
    done = subprocess.run(
        argv, capture_output=True, text=True, errors="replace", timeout=PROGRAM_S, check=False, stdin=subprocess.DEVNULL, cwd="/",
        env=None if environ is None else dict(environ),
    )  # fmt: skip
    if done.returncode != 0:
        raise ValueError(f"{argv[0]} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout.strip()


def _which(name: str, environ: Mapping[str, str]) -> str | None:
    return shutil.which(name, path=environ.get("PATH", os.defpath))


def _program(name: str, environ: Mapping[str, str]) -> str | None:
    """The version that git or git-lfs tells: ``git version 2.39.5`` and ``git-lfs/3.3.0 (...)``."""
    program = _which(name, environ)
    if program is None:
        return None
    words = _output(program, "version").split()
    if name == "git":
        return words[2] if len(words) > 2 else "0"
    return words[0].partition("/")[2] if words else "0"


def _bwrap(environ: Mapping[str, str]) -> Bwrap | None:
    program = _which("bwrap", environ)
    if program is None:
        return None
    set_uid = bool(os.stat(program).st_mode & stat.S_ISUID)
    return Bwrap(program, "" if set_uid else _output(program, "--version", environ={}), set_uid)


def _kernel() -> Mapping[str, int]:
    python = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    said = json.loads(_output(python, "-I", "-S", str(_PROBE), str(ROOT_BECOMES), environ={"LC_ALL": "C"}))
    return {str(name): int(number) for name, number in said.items()}


def _answer(backend: Backend) -> Answer:
    try:
        facts = backend.check()
    except AienvError as problem:
        return Problem(problem.code, problem.message, problem.remedy)
    address = (("address", facts.address),) if facts.address else ()
    return Usable(facts.version, facts.capabilities.isolation, (*address, *facts.details), facts.capabilities.unlimited)


def _settings() -> dict[str, str]:
    values = {name.replace("/", "."): _text(f"/proc/sys/{name}") for name in SETTINGS}
    return {name: value for name, value in values.items() if value}


def _apparmor() -> str | None:
    """This process's own profile, where AppArmor is on."""
    if not _text("/sys/module/apparmor/parameters/enabled").startswith("Y"):
        return None
    return _text("/proc/self/attr/apparmor/current") or _text("/proc/self/attr/current") or "no profile"


def _selinux() -> Literal["enforcing", "permissive"] | None:
    value = _text("/sys/fs/selinux/enforce")
    return None if not value else "enforcing" if value == "1" else "permissive"


def _groups(environ: Mapping[str, str]) -> Groups:
    mounts = {line.partition(" - ")[2].split(" ")[0] for line in _text("/proc/self/mountinfo").splitlines()}
    version: Literal[1, 2] | None = 1 if "cgroup" in mounts else 2 if "cgroup2" in mounts else None
    systemd = os.path.isdir("/run/systemd/system")
    if find_scope(environ, os.getuid()) is not None:
        return Groups(version, "scope", "systemd scope", cgroups.CONTROLLERS, systemd)
    found = cgroups.find_groups()
    if found is None:
        return Groups(version, None, "", (), systemd)
    return Groups(version, "groups", f"version {found.version}: {', '.join(found.controllers)}", found.controllers, systemd)


def _disk(paths: Paths) -> Disk:
    place = paths.state
    while not place.exists():
        place = place.parent
    facts = os.statvfs(place)
    return Disk(str(place), facts.f_bavail * facts.f_frsize, facts.f_favail if facts.f_files else None)


def _clock() -> Clock:
    newest = max(file.stat().st_mtime for file in Path(__file__).parent.glob("*.py"))
    timex = ctypes.create_string_buffer(TIMEX_BYTES)  # zeroes: nothing is changed, only read
    state = ctypes.CDLL(None).adjtimex(timex)
    return Clock(time.time(), newest, None if state < 0 else state != TIME_ERROR)


def _trust(environ: Mapping[str, str]) -> Trust:
    bundle = user_bundle(environ)
    count = 0
    if bundle is not None:
        with open(bundle, "rb") as file:
            count = file.read(MAX_BUNDLE_BYTES).count(b"-----BEGIN CERTIFICATE-----")
    return Trust(bundle, count, _version_of("cryptography"))


def _version_of(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    if importlib.util.find_spec(package) is None:
        return None
    with contextlib.suppress(PackageNotFoundError):
        return version(package)
    return "of unknown version"


def _ssh_agent(environ: Mapping[str, str]) -> SshAgent | None:
    """Ask for the number of keys, as ``ssh-add -l`` does."""
    path = environ.get("SSH_AUTH_SOCK")
    if not path:
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(AGENT_S)
        sock.connect(path)
        sock.sendall(struct.pack(">IB", 1, SSH_REQUEST_IDENTITIES))
        head = b""
        while len(head) < 9 and (data := sock.recv(9 - len(head))):
            head += data
    if len(head) < 9 or head[4] != SSH_IDENTITIES_ANSWER:
        return SshAgent(path, None)
    count: int = struct.unpack(">I", head[5:])[0]
    return SshAgent(path, count)


def _unfinished(paths: Paths) -> tuple[str, ...]:
    return tuple(run_id for run_id in folders.active_ids(paths) if not folders.is_owned(folders.run_folder(paths, run_id)))
