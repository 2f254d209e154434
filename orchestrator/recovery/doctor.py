"""What this machine offers: each check says what it found and what cures it."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.backends.protocol import Backend
from orchestrator.backends.select import maker
from orchestrator.errors import AienvError, BackendUnavailable
from orchestrator.model.paths import Paths
from orchestrator.report.text import size
from orchestrator.run import folder as folders
from orchestrator.sandbox.seccomp import build_filter

MINIMUM_GIT = (2, 31)
LITTLE_SPACE = 2 << 30


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    status: Literal["ok", "warning", "failed"]
    detail: str
    remedy: str | None = None


def examine(paths: Paths, environ: Mapping[str, str]) -> list[Check]:
    """All checks, in the order of what they rest on."""
    make = maker(paths.work, paths.cache, environ, lambda text: None)
    return [
        _python(),
        _git(),
        _git_lfs(),
        _machine(),
        _cgroups(),
        _space(paths),
        _backend("local", make("local")),
        _backend("docker", make("docker")),
        *_unfinished(paths),
    ]


def usable(checks: Iterable[Check]) -> bool:
    """Whether tasks can run: git is there, and one backend."""
    found = {check.name: check.status for check in checks}
    return found["git"] != "failed" and "ok" in (found["backend local"], found["backend docker"])


def _python() -> Check:
    return Check("python", "ok", f"{platform.python_version()} ({sys.executable})")


def _git() -> Check:
    program = shutil.which("git")
    if program is None:
        return Check("git", "failed", "not installed", "apt install git")
    text = subprocess.run([program, "version"], capture_output=True, text=True, timeout=10, check=False).stdout
    version = text.split()[2] if len(text.split()) > 2 else "0"
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < MINIMUM_GIT:
        return Check("git", "failed", f"{version} is too old", f"install git {'.'.join(map(str, MINIMUM_GIT))} or newer")
    return Check("git", "ok", version)


def _git_lfs() -> Check:
    if shutil.which("git-lfs"):
        return Check("git-lfs", "ok", "installed")
    return Check("git-lfs", "warning", "not installed: LFS files stay pointers in the clone", "apt install git-lfs")


def _machine() -> Check:
    machine = platform.machine()
    try:
        build_filter(machine)
    except KeyError:
        return Check("processor", "failed", f"no system call table for {machine}", "x86_64 and aarch64 are supported")
    return Check("processor", "ok", f"{machine}, kernel {platform.release()}")


def _cgroups() -> Check:
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return Check("cgroups", "ok", "version 2")
    return Check(
        "cgroups", "warning", "version 1: the local backend limits memory per process only", "limits of containers are not affected"
    )


def _space(paths: Paths) -> Check:
    place = paths.state
    while not place.exists():
        place = place.parent
    facts = os.statvfs(place)
    free = facts.f_bavail * facts.f_frsize
    if free < LITTLE_SPACE:
        return Check("disk", "warning", f"{size(free)} free at {place}", "aienv gc frees space")
    return Check("disk", "ok", f"{size(free)} free at {place}")


def _backend(name: str, backend: Backend) -> Check:
    try:
        facts = backend.check()
    except BackendUnavailable as problem:
        return Check(f"backend {name}", "failed", problem.message, problem.remedy)
    except AienvError as problem:
        return Check(f"backend {name}", "failed", str(problem), problem.remedy)
    details = "; ".join(f"{key}: {value}" for key, value in facts.details)
    return Check(f"backend {name}", "ok", f"{facts.version} ({facts.capabilities.isolation}); {details}")


def _unfinished(paths: Paths) -> list[Check]:
    waiting = [run_id for run_id in folders.active_ids(paths) if not folders.is_owned(folders.run_folder(paths, run_id))]
    if not waiting:
        return []
    return [Check("runs", "warning", f"not finished: {', '.join(waiting)}", "aienv ps shows them, aienv gc finishes what can be finished")]
