"""Measuring what a run uses, from outside. Everything measured was written by the agent: it may change while it is read.

Nothing here follows a link or opens a file: folders are opened relative to their parent, files are only asked for their size.
"""

import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.run.bounds import Memory, Space, Tree

BLOCK_BYTES = 512  # what st_blocks counts in, on every file system
DEPTH = 128  # folders that are held open at a time; what lies deeper counts as closed
BUDGET_S = 20.0  # processor time of one walk
CHECK_EVERY = 1000
INODE_BYTES = 1024  # of kernel memory for each file of a memory file system, with its name
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
DESCRIPTORS = 50_000  # looked at in one search for files without a name
MEMORY_FOLDERS = ("tmp", "dev/shm", "home/agent", "run")


def space(folder: Path) -> Space:
    """What is free on the file system of a folder.

    Raises:
        OSError: it is not there.
    """
    facts = os.statvfs(folder)
    counted = facts.f_files > 0
    return Space(facts.f_blocks * facts.f_frsize, facts.f_bavail * facts.f_frsize, facts.f_files, facts.f_favail if counted else None)


# --- a folder ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Walk:
    device: int
    most_files: int
    began_s: float
    stop: Callable[[], bool]
    blocks: int = 0
    files: int = 0
    closed: int = 0
    cut: bool = False
    seen: set[int] = field(default_factory=set)

    def folder(self, descriptor: int) -> list[str]:
        """Count what one folder holds; the names of its folders."""
        below: list[str] = []
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    self.entry(entry, below)
                    if self.cut:
                        break
        except OSError:
            self.closed += 1
        return below

    def entry(self, entry: "os.DirEntry[str]", below: list[str]) -> None:
        self.files += 1
        if self.files % CHECK_EVERY == 0:
            self.cut = self.files > self.most_files or time.thread_time() - self.began_s > BUDGET_S or self.stop()
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError:
            return  # removed since it was listed
        if found.st_dev != self.device:
            return
        if stat.S_ISDIR(found.st_mode):
            below.append(entry.name)
        elif found.st_nlink > 1:
            if found.st_ino in self.seen:
                return
            self.seen.add(found.st_ino)
        self.blocks += found.st_blocks


def walk(folder: Path, most_files: int, stop: Callable[[], bool] = lambda: False) -> Tree:
    """Measure a folder. Ends early once there are more than ``most_files`` in it, which is enough to know, or when ``stop`` says so.

    Raises:
        OSError: the folder itself cannot be read.
    """
    began = time.thread_time()
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    facts = os.fstat(top)
    found = _Walk(facts.st_dev, most_files, began, stop, blocks=facts.st_blocks)
    held = [(top, found.folder(top))]
    try:
        while held and not found.cut:
            parent, names = held[-1]
            if not names:
                os.close(held.pop()[0])
                continue
            name = names.pop()
            if len(held) >= DEPTH:
                found.closed += 1
                continue
            try:
                child = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            except (FileNotFoundError, NotADirectoryError):
                continue  # removed or replaced since it was listed
            except OSError:
                found.closed += 1
                continue
            held.append((child, found.folder(child)))
    finally:
        for descriptor, _ in held:
            os.close(descriptor)
    return Tree(found.blocks * BLOCK_BYTES, found.files, found.closed, found.cut, time.thread_time() - began)


# --- processes --------------------------------------------------------------------------------------------------------


def tree_of(root: int) -> list[int]:
    """A process and all that descend from it, parents first. Those of a namespace's first process stay its own: none gets away."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (parent := _parent(int(name))) is not None:
            children.setdefault(parent, []).append(int(name))
    found = [root]
    for pid in found:
        found += children.get(pid, ())
    return found


def _parent(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def machine_memory() -> tuple[int, int]:
    """(all, available) bytes of this machine."""
    rows = dict.fromkeys(("MemTotal:", "MemAvailable:"), 0)
    with open("/proc/meminfo", encoding="ascii", errors="replace") as file:
        for line in file:
            name, value, *_ = line.split()
            if name in rows:
                rows[name] = int(value) << 10
    return rows["MemTotal:"], rows["MemAvailable:"]


def memory(root: int, limit_bytes: int, start_bytes: int) -> Memory:
    """What the processes below ``root`` hold. Pages that several share are counted apart only when a rough sum is too high.

    ``start_bytes``: what was available on this machine when the watch began.
    """
    machine, free = machine_memory()
    pids = tree_of(root)[1:]
    shared = _memory_files(root, pids)
    rough = sum(_resident(pid) for pid in pids)
    if rough + shared <= limit_bytes:
        return Memory(rough, shared, len(pids), machine, start_bytes, free)
    private, mapped = 0, 0
    for pid in pids:
        anonymous, shmem = _proportional(pid)
        private += anonymous
        mapped += shmem
    # A mapped file in memory shows in both; the greater of the two is at least there.
    return Memory(private, max(mapped, shared), len(pids), machine, start_bytes, free)


def _resident(pid: int) -> int:
    """Resident bytes of a process that are no file's and no shared memory's."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            _, resident, shared = (int(word) for word in file.read().split()[:3])
    except (OSError, ValueError):
        return 0
    return max(0, resident - shared) * PAGE_BYTES


def _proportional(pid: int) -> tuple[int, int]:
    """(anonymous, shared memory) bytes of a process, each page divided by its users; what is swapped out counts."""
    rows: dict[str, int] = {}
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii", errors="replace") as file:
            for line in file:
                words = line.split()
                if len(words) == 3 and words[2] == "kB":
                    rows[words[0]] = int(words[1]) << 10
    except (OSError, ValueError):
        return _resident(pid), 0
    return rows.get("Pss_Anon:", rows.get("Pss:", 0)) + rows.get("SwapPss:", 0), rows.get("Pss_Shmem:", 0)


def _memory_files(root: int, pids: list[int]) -> int:
    """What lies in the sandboxes' memory file systems, and in open memory files without a name."""
    own = _link(f"/proc/{root}/ns/mnt")
    held = 0
    namespaces = set()
    for pid in pids:
        namespace = _link(f"/proc/{pid}/ns/mnt")
        if namespace not in (None, own) and namespace not in namespaces:
            namespaces.add(namespace)
            held += sum(_used(f"/proc/{pid}/root/{folder}") for folder in MEMORY_FOLDERS)
    return held + sum(blocks for _, blocks in _memory_descriptors(pids).items())


def _memory_descriptors(pids: list[int]) -> dict[tuple[int, int], int]:
    found: dict[tuple[int, int], int] = {}
    for pid, descriptor in _descriptors(pids):
        path = f"/proc/{pid}/fd/{descriptor}"
        target = _link(path)
        if target is not None and target.startswith("/memfd:"):
            with contextlib.suppress(OSError):
                facts = os.stat(path)
                found[facts.st_dev, facts.st_ino] = facts.st_blocks * BLOCK_BYTES
    return found


def _used(folder: str) -> int:
    try:
        facts = os.statvfs(folder)
    except OSError:
        return 0
    return (facts.f_blocks - facts.f_bfree) * facts.f_frsize + (facts.f_files - facts.f_ffree) * INODE_BYTES


def deleted_bytes(root: int, folder: Path) -> int:
    """Blocks of files on the folder's file system that processes below ``root`` hold open, and that have no name any more."""
    device = os.stat(folder).st_dev
    found: dict[int, int] = {}
    for pid, descriptor in _descriptors(tree_of(root)[1:]):
        with contextlib.suppress(OSError):
            facts = os.stat(f"/proc/{pid}/fd/{descriptor}")
            if facts.st_dev == device and facts.st_nlink == 0 and stat.S_ISREG(facts.st_mode):
                found[facts.st_ino] = facts.st_blocks * BLOCK_BYTES
    return sum(found.values())


def _descriptors(pids: list[int]) -> Iterator[tuple[int, str]]:
    """(pid, descriptor) of what these processes have open, up to a number."""
    count = 0
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        for name in names:
            count += 1
            if count > DESCRIPTORS:
                return
            yield pid, name


def _link(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None
