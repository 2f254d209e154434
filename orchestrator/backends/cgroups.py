"""Control groups for a local run, where this user may make them: as root on version 1, or below a delegated folder of version 2.

A group is a folder. It is made beside nothing of anybody else's: on version 1 inside our own group, so that what holds us holds
the run too; on version 2, where a group with processes has no groups below it, inside the nearest one above us that hands the
controllers down. Its path is written down before it is made, so that whoever cleans up finds it.
"""

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.errors import EnvironmentFailed
from orchestrator.model.task import Limits

CONTROLLERS = ("memory", "pids", "cpu")
PERIOD_US = 100_000
_POLL_S = 0.02

Version = Literal[1, 2]


@dataclass(frozen=True, slots=True)
class Home:
    """A folder in which a group with this controller can be made."""

    controller: str
    version: Version
    folder: Path


@dataclass(frozen=True, slots=True)
class Setting:
    """One file of a group. ``needed``: without it the limit does not hold."""

    file: str
    value: str
    needed: bool


@dataclass(frozen=True, slots=True)
class Pressure:
    """What a group had to refuse so far: processes that were killed for want of memory, forks that failed."""

    kills: int
    refused_forks: int


# --- pure -------------------------------------------------------------------------------------------------------------


def candidates(controller: str, cgroup: str, mountinfo: str) -> tuple[Home, ...]:
    """Where a group with this controller might be made, best first, by ``/proc/self/cgroup`` and ``/proc/self/mountinfo``."""
    for line in cgroup.splitlines():
        names, _, path = line.partition(":")[2].partition(":")
        if controller in names.split(","):
            return tuple(Home(controller, 1, folder) for folder in _below_mount(path, _mounts(mountinfo, "cgroup", controller)))
    own = next((line.removeprefix("0::") for line in cgroup.splitlines() if line.startswith("0::")), None)
    if own is None:
        return ()
    found = []
    for mount in _mounts(mountinfo, "cgroup2", None):
        for folder in _below_mount(own, [mount]):
            above = [place for place in (folder, *folder.parents) if place.is_relative_to(mount[1])]
            found += [Home(controller, 2, place) for place in above]
    return tuple(found)


def settings(controller: str, version: Version, limits: Limits) -> tuple[Setting, ...]:
    """What is written into a new group. Without swap: a run that swaps makes the whole machine wait."""
    if controller == "pids":
        return (Setting("pids.max", str(limits.pids), True),)
    if controller == "cpu":
        quota = str(max(1000, round(limits.cpus * PERIOD_US)))
        if version == 2:
            return (Setting("cpu.max", f"{quota} {PERIOD_US}", True),)
        return Setting("cpu.cfs_period_us", str(PERIOD_US), True), Setting("cpu.cfs_quota_us", quota, True)
    memory = str(limits.memory_bytes)
    if version == 2:
        return Setting("memory.max", memory, True), Setting("memory.swap.max", "0", False)
    return Setting("memory.limit_in_bytes", memory, True), Setting("memory.memsw.limit_in_bytes", memory, False)


def group_name(run_id: str, role: str) -> str:
    return f"aienv-{run_id}-{role}"


def recorded(text: str, name: str) -> tuple[Path, ...]:
    """The folders in a record; only those that bear the name of the run's own group."""
    paths = [Path(line) for line in text.splitlines()]
    return tuple(path for path in paths if path.is_absolute() and path.name == name and ".." not in path.parts)


def _mounts(mountinfo: str, kind: str, controller: str | None) -> list[tuple[str, Path]]:
    """(root inside the hierarchy, mount point) of the control group file systems with this controller."""
    found = []
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        words, facts = left.split(" "), right.split(" ")
        if len(words) < 5 or len(facts) < 3 or facts[0] != kind or (controller and controller not in facts[2].split(",")):
            continue
        found.append((_unescaped(words[3]), Path(_unescaped(words[4]))))
    return found


def _unescaped(word: str) -> str:
    """The kernel writes a blank in a path as ``\\040``."""
    return word.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")


def _below_mount(path: str, mounts: Iterable[tuple[str, Path]]) -> Iterator[Path]:
    """The folder of a group in each mount that shows it. A path with ``..`` lies outside of our namespace: nowhere."""
    if not path.startswith("/") or ".." in path.split("/"):
        return
    for root, mount in mounts:
        with contextlib.suppress(ValueError):
            yield mount / Path(path).relative_to(root)


# --- rim --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Groups:
    """The homes that were found to work: at most one for each controller."""

    homes: tuple[Home, ...]

    @property
    def controllers(self) -> tuple[str, ...]:
        return tuple(home.controller for home in self.homes)

    @property
    def version(self) -> Version:
        return self.homes[0].version

    def folders(self, name: str) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(home.folder / name for home in self.homes))

    def make(self, name: str, limits: Limits, record: Path) -> None:
        """Make the group, with its limits; ``record`` is written first.

        Raises:
            EnvironmentFailed: it cannot be made, or its limits cannot be set.
        """
        record.write_text("".join(f"{folder}\n" for folder in self.folders(name)))
        try:
            for folder in self.folders(name):
                folder.mkdir(exist_ok=True)
            for home in self.homes:
                for setting in settings(home.controller, home.version, limits):
                    _set(home.folder / name / setting.file, setting)
        except OSError as problem:
            raise _failed("be made", problem) from problem

    def join(self, name: str, pid: int) -> None:
        """Put a process into the group; what it starts from now on is in it too.

        Raises:
            EnvironmentFailed
        """
        try:
            for folder in self.folders(name):
                (folder / "cgroup.procs").write_text(str(pid))
        except OSError as problem:
            raise _failed("be entered", problem) from problem


def _failed(what: str, problem: OSError) -> EnvironmentFailed:
    return EnvironmentFailed(f"the run's control group cannot {what}: {problem}", remedy="run aienv doctor", code="control-group")


def _set(file: Path, setting: Setting) -> None:
    try:
        file.write_text(setting.value)
    except OSError:
        if setting.needed:
            raise


def find_groups() -> Groups | None:
    """The homes in which a group can really be made and limited, found by making one; None: there is none."""
    try:
        cgroup, mountinfo = Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text()
    except OSError:
        return None
    homes = []
    for controller in CONTROLLERS:
        homes += [home for home in candidates(controller, cgroup, mountinfo) if _works(home)][:1]
    return Groups(tuple(homes)) if homes else None


def _works(home: Home) -> bool:
    probe = home.folder / f"aienv-probe-{secrets.token_hex(4)}"
    try:
        if home.version == 2 and home.controller not in (home.folder / "cgroup.subtree_control").read_text().split():
            return False
        probe.mkdir()
    except OSError:
        return False
    try:
        limits = Limits(cpus=1, memory_bytes=1 << 30, pids=64, disk_bytes=1, open_files=64, timeout_s=1, grace_s=1)
        for setting in settings(home.controller, home.version, limits):
            _set(probe / setting.file, setting)
        return os.access(probe / "cgroup.procs", os.W_OK)
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            probe.rmdir()


def exists(folders: Iterable[Path]) -> bool:
    return any((folder / "cgroup.procs").exists() for folder in folders)


def remove(folders: Iterable[Path], deadline_s: float) -> tuple[str, ...]:
    """End what is in the groups and remove them; what is gone already is fine. Returns what was removed.

    Raises:
        EnvironmentFailed: one is still there after ``deadline_s``.
    """
    limit = time.monotonic() + deadline_s
    removed = []
    for folder in folders:
        while (folder / "cgroup.procs").exists():
            _end_processes(folder)
            try:
                folder.rmdir()
            except FileNotFoundError:
                break
            except OSError as problem:
                if time.monotonic() > limit:
                    raise EnvironmentFailed(f"the control group {folder} cannot be removed: {problem}", code="left-behind") from problem
                time.sleep(_POLL_S)  # the kernel lets go of a process a moment after its end
                continue
            removed.append(f"control group {folder.name}")
            break
    return tuple(dict.fromkeys(removed))


def _end_processes(folder: Path) -> None:
    with contextlib.suppress(OSError):
        for word in (folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(word), signal.SIGKILL)


def pressure(pid: int) -> Pressure:
    """What the group of a process had to refuse; nothing when it has no group other than ours. Never raises."""
    try:
        mountinfo = Path("/proc/self/mountinfo").read_text()
        theirs, ours = Path(f"/proc/{pid}/cgroup").read_text(), Path("/proc/self/cgroup").read_text()
    except OSError:
        return Pressure(0, 0)
    counts = dict.fromkeys(CONTROLLERS, 0)
    for controller, file_of, row in (
        ("memory", {1: "memory.oom_control", 2: "memory.events"}, "oom_kill"),
        ("pids", {1: "pids.events", 2: "pids.events"}, "max"),
    ):
        found, own = candidates(controller, theirs, mountinfo)[:1], candidates(controller, ours, mountinfo)[:1]
        if found and found != own:
            counts[controller] = _count(found[0].folder / file_of[found[0].version], row)
    return Pressure(counts["memory"], counts["pids"])


def _count(file: Path, row: str) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in file.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == row:
                return int(value)
    return 0
