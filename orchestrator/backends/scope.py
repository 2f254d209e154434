"""Limits of a local run: a systemd scope where cgroup v2 and systemd are there, else what rlimits and affinity can do.

A scope holds the launcher and all that it starts, so memory and processes are counted together. It ends with its last
process: nothing is left to remove.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.model.task import Limits

PROBE_DEADLINE_S = 5.0
UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers")
BUS_VARIABLES = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")


@dataclass(frozen=True, slots=True)
class Scope:
    """A way to start a process in a scope of its own. ``user``: of the user's manager, not the system's."""

    program: str
    user: bool

    def command(self, unit: str, limits: Limits) -> tuple[str, ...]:
        """What stands before the launcher's own command."""
        return (
            self.program,
            *(("--user",) if self.user else ()),
            *("--scope", "--quiet", "--collect", f"--unit={unit}"),
            *("-p", f"MemoryMax={limits.memory_bytes}", "-p", "MemorySwapMax=0"),
            *("-p", f"TasksMax={limits.pids}", "-p", f"CPUQuota={round(limits.cpus * 100)}%"),
            "--",
        )


def find_scope(environ: Mapping[str, str], uid: int) -> Scope | None:
    """A scope that really works here, found by making one; None on cgroup v1, or without systemd."""
    program = shutil.which("systemd-run", path=environ.get("PATH", os.defpath))
    if program is None or not UNIFIED.exists():
        return None
    scope = Scope(program, user=uid != 0)
    command = (program, *(("--user",) if scope.user else ()), "--scope", "--quiet", "--collect", "-p", "TasksMax=16", "--", "true")
    try:
        done = subprocess.run(command, capture_output=True, timeout=PROBE_DEADLINE_S, check=False, env=dict(environ))
    except (OSError, subprocess.TimeoutExpired):
        return None
    return scope if done.returncode == 0 else None


def bus_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What systemd-run needs to find its manager."""
    return {name: environ[name] for name in BUS_VARIABLES if name in environ}
