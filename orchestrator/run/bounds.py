"""When a run has had more than its limits, and when it is worth to measure again. Pure: amounts in, decisions out.

The kernel holds a run to its memory and processes where there are control groups, and each file to a size. Nothing holds a
folder to a size without privileges: that is measured, and a run that is over is stopped and harvested.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.model.task import Limits
from orchestrator.report.text import size

# A file system has about one inode for 16 KiB. More files than these are no sources and no dependencies.
BYTES_PER_FILE = 4096
FILES_AT_LEAST = 200_000

FLOOR_AT_MOST = 1 << 30
FLOOR_SHARE = 50  # of the file system: 2 %
FILES_FLOOR_SHARE = 100
MEMORY_FLOOR_SHARE = 20  # 5 %

POLL_S = 0.25
QUIET_S, URGENT_S = 10.0, 0.25
QUIET_SHARE, URGENT_SHARE = 100.0, 4.0  # so many times as long as a walk took, nothing is walked: 1 % and 20 % of a processor
NEAR = 8  # an eighth of what is left to the limit, written by anybody, makes a walk urgent
GROWTH_IN_GRACE = 8  # an eighth of the limit more, after the run was asked to stop, ends it


@dataclass(frozen=True, slots=True)
class Space:
    """A file system at one moment: what ordinary users may still take. ``files``: None where it does not count them."""

    total_bytes: int
    free_bytes: int
    total_files: int
    free_files: int | None


@dataclass(frozen=True, slots=True)
class Tree:
    """One walk over a folder. ``blocks_bytes`` on disk, links not followed, a file with several names once.

    ``closed``: folders that could not be read. ``cut``: the walk took too long and is incomplete. ``cost_s``: processor time.
    """

    blocks_bytes: int
    files: int
    closed: int
    cut: bool
    cost_s: float

    @property
    def complete(self) -> bool:
        return not self.closed and not self.cut


@dataclass(frozen=True, slots=True)
class Disk:
    """What is known about a run's use of the disk. ``deleted_bytes``: of files that are open and have no name any more."""

    start: Space
    now: Space
    first: Tree
    tree: Tree
    deleted_bytes: int


@dataclass(frozen=True, slots=True)
class Memory:
    """``processes``: how many live in the place. ``shared_bytes``: memory file systems and memory files.

    ``machine_bytes``, ``start_bytes``, ``free_bytes``: of this machine, all there is, what was available at the start and is now.
    """

    private_bytes: int
    shared_bytes: int
    processes: int
    machine_bytes: int
    start_bytes: int
    free_bytes: int

    @property
    def all_bytes(self) -> int:
        return self.private_bytes + self.shared_bytes


@dataclass(frozen=True, slots=True)
class Breach:
    """A limit that was passed: which, how much there is of it, and the sentence for people."""

    limit: str
    amount: int
    text: str


def files_limit(limits: Limits) -> int:
    """The most files and folders that a workspace may hold."""
    return max(FILES_AT_LEAST, limits.disk_bytes // BYTES_PER_FILE)


def walk_is_due(limits: Limits, since_s: float, tree: Tree, then: Space, now: Space) -> bool:
    """Whether to walk again, ``since_s`` seconds after the walk that found ``tree`` and the file system as ``then``.

    What the file system lost in the meantime is the cheap question. It is no answer: somebody else may have freed as much.
    """
    left = max(0, limits.disk_bytes - tree.blocks_bytes)
    lost = then.free_bytes - now.free_bytes
    files_left = max(0, files_limit(limits) - tree.files)
    files_lost = (then.free_files or 0) - (now.free_files or 0)
    if lost * NEAR >= max(left, 1) or files_lost * NEAR >= max(files_left, 1):
        return since_s >= max(URGENT_S, URGENT_SHARE * tree.cost_s)
    return since_s >= max(QUIET_S, QUIET_SHARE * tree.cost_s)


def looks_hidden(disk: Disk) -> bool:
    """Whether the file system lost much more than the tree shows: then files without a name are worth looking for."""
    lost = disk.start.free_bytes - disk.now.free_bytes
    shown = disk.tree.blocks_bytes - disk.first.blocks_bytes
    return lost > shown + disk.now.total_bytes // 10_000 + (1 << 20)


def disk_breach(limits: Limits, disk: Disk) -> Breach | None:
    """The first limit of the disk that is passed."""
    limit, tree = limits.disk_bytes, disk.tree
    used = tree.blocks_bytes + disk.deleted_bytes
    allowed = f"limit {size(limit)} (--disk)"
    if used > limit:
        deleted = f" and {size(disk.deleted_bytes)} in deleted files that are still open" if disk.deleted_bytes else ""
        return Breach("disk", used, f"stopped: the workspace holds {size(tree.blocks_bytes)}{deleted}, {allowed}")
    if tree.files > (most := files_limit(limits)):
        return Breach("disk", used, f"stopped: the workspace holds {tree.files:,} files and folders, and {most:,} are the most, {allowed}")
    lost = disk.start.free_bytes - disk.now.free_bytes
    if not tree.complete and lost > limit:
        unseen = f"{tree.closed:,} folders that cannot be read" if tree.closed else "more than can be measured in time"
        text = f"stopped: the workspace holds {unseen}, and since the start the disk lost {size(lost)}, {allowed}"
        return Breach("disk", used, text)
    return _floor_breach(disk, used, lost, limit)


def _floor_breach(disk: Disk, used: int, lost: int, limit: int) -> Breach | None:
    """A disk that is nearly full stops the run that filled it: what is left is for the harvest, and for everybody else."""
    wrote = used - disk.first.blocks_bytes
    start, now = disk.start, disk.now
    floor = min(FLOOR_AT_MOST, start.total_bytes // FLOOR_SHARE, start.free_bytes // 2)
    if now.free_bytes < floor and lost > 0 and (wrote * 2 >= lost or lost > limit):
        how = f"this run wrote {size(max(0, wrote))} of the {size(lost)} that went since the start"
        return Breach("disk", used, f"stopped: only {size(now.free_bytes)} are free on the disk of the workspace, and {how}")
    if start.free_files is None or now.free_files is None:
        return None
    made, gone = disk.tree.files - disk.first.files, start.free_files - now.free_files
    if now.free_files < min(start.total_files // FILES_FLOOR_SHARE, start.free_files // 2) and made * 2 >= gone > 0:
        text = f"stopped: the disk of the workspace has room for only {now.free_files:,} more files, and this run made {made:,}"
        return Breach("disk", used, text)
    return None


def memory_breach(limits: Limits, watched: Iterable[str], memory: Memory) -> Breach | None:
    """For places without a control group. ``watched``: the names of the limits that nothing else holds."""
    names = frozenset(watched)
    if "memory" in names and memory.all_bytes > limits.memory_bytes:
        holds = f"{size(memory.private_bytes)} in processes and {size(memory.shared_bytes)} in files in memory"
        text = f"stopped: the environment holds {holds}, limit {size(limits.memory_bytes)} (--memory)"
        return Breach("memory", memory.all_bytes, text)
    lost, allowed = memory.start_bytes - memory.free_bytes, size(limits.memory_bytes)
    if "memory" in names and memory.free_bytes < memory.machine_bytes // MEMORY_FLOOR_SHARE and lost > limits.memory_bytes:
        # The kernel holds more for a process than can be seen: buffers of sockets and pipes, for a start.
        text = (
            f"stopped: this machine has only {size(memory.free_bytes)} of memory left, {size(lost)} less than at the start, limit {allowed}"
        )
        return Breach("memory", memory.all_bytes, f"{text} (--memory)")
    if "pids" in names and memory.processes > limits.pids:
        return Breach("pids", memory.processes, f"stopped: {memory.processes:,} processes, limit {limits.pids:,} (--pids)")
    return None


def goes_on(limits: Limits, first: Breach, again: Breach) -> bool:
    """Whether a run that was asked to stop takes so much more that its grace is over."""
    if again.limit != first.limit:
        return True
    allowed = {"disk": limits.disk_bytes, "memory": limits.memory_bytes, "pids": limits.pids}[first.limit]
    return again.amount - first.amount > allowed // GROWTH_IN_GRACE


def unmeasured(tree: Tree) -> str | None:
    """What a person should know about a walk that did not see everything."""
    if tree.complete:
        return None
    why = f"{tree.closed:,} of its folders cannot be read" if tree.closed else "it holds more than can be counted in time"
    return f"the size of the workspace could not be measured as a whole ({why}): --disk held only what was seen"
