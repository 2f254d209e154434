"""One control group above all containers of a session, where we may make one: what they use together is held by the kernel.

The engine must put its own groups into files (driver ``cgroupfs``) and we must be root: the engine would make a missing parent, too, but
without limits, and nobody but root could remove it. By its name whoever cleans up finds it.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from orchestrator.model.guard import GuardLimits

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
DRIVER = "cgroupfs"


def group_name(session_id: str) -> str:
    return f"aienv-guard-{session_id}"


def settings(limits: GuardLimits, version: int) -> Mapping[str, tuple[tuple[str, str], ...]]:
    """Controller -> files and what is written into them. Pure."""
    quota = str(max(1000, round(limits.cpus * PERIOD_US)))
    if version == 2:
        return {
            "": (
                ("memory.max", str(limits.memory_bytes)), ("memory.swap.max", "0"), ("pids.max", str(limits.pids)),
                ("cpu.max", f"{quota} {PERIOD_US}"),
            )
        }  # fmt: skip
    return {
        "memory": (
            ("memory.use_hierarchy", "1"), ("memory.limit_in_bytes", str(limits.memory_bytes)),
            ("memory.memsw.limit_in_bytes", str(limits.memory_bytes)),
        ),
        "pids": (("pids.max", str(limits.pids)),),
        "cpu": (("cpu.cfs_period_us", str(PERIOD_US)), ("cpu.cfs_quota_us", quota)),
    }  # fmt: skip


def make(session_id: str, limits: GuardLimits, info: Mapping[str, object], root: Path = ROOT) -> str | None:
    """The group's path as the engine takes it; None: it cannot be had here. ``info``: what the engine says of itself."""
    if os.geteuid() != 0 or info.get("CgroupDriver") != DRIVER:
        return None
    name = group_name(session_id)
    wanted = settings(limits, 2 if str(info.get("CgroupVersion")) == "2" else 1)
    try:
        for controller, files in wanted.items():
            folder = root / controller / name
            folder.mkdir(exist_ok=True)
            for file, value in files:
                if (folder / file).exists():  # swap is not counted everywhere
                    (folder / file).write_text(value)
    except OSError:
        remove(session_id, root)
        return None
    return f"/{name}"


def remove(session_id: str, root: Path = ROOT) -> tuple[str, ...]:
    """What is left of the group: the engine's own groups below it go with their containers. None there is fine."""
    left = []
    for folder in _folders(group_name(session_id), root):
        for place, _, _ in os.walk(folder, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(place)
        if folder.exists():
            left.append(f"control group {folder}")
    return tuple(left)


def _folders(name: str, root: Path) -> Iterable[Path]:
    with contextlib.suppress(OSError):
        return [folder for folder in (root / name, *(below / name for below in root.iterdir())) if folder.is_dir()]
    return ()
