"""One run's places on the host, its lock, and its mark among the active runs."""

import errno
import fcntl
import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import AienvError, NotFound, UsageError
from orchestrator.model.paths import Paths

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_ID_LENGTH, _TIME_LENGTH = 10, 7
_TICKS_PER_S = 32  # much finer than a run is short: ids of runs one after the other sort as the runs began
_LOCK_POLL_S = 0.05
RESERVE_BYTES = 1 << 20
SESSIONS_FOLDER = "sessions"  # the agent's own, below the run's folder
TRANSCRIPT = "transcript.jsonl"


def new_run_id(now_s: float) -> str:
    """Ten characters: seven of time (so that ids sort), three of chance."""
    base = len(_ALPHABET)
    ticks = int(now_s * _TICKS_PER_S) % base**_TIME_LENGTH
    stamp = "".join(_ALPHABET[ticks // base**power % base] for power in range(_TIME_LENGTH - 1, -1, -1))
    return stamp + "".join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH - _TIME_LENGTH))


@dataclass(frozen=True, slots=True)
class RunFolder:
    """``run`` stays after the run; ``work`` is thrown away; ``mark`` exists while somebody must still look after it."""

    id: str
    run: Path
    work: Path
    mark: Path

    @property
    def plan(self) -> Path:
        return self.run / "plan.json"

    @property
    def journal(self) -> Path:
        return self.run / "journal.jsonl"

    @property
    def audit(self) -> Path:
        return self.run / "audit.jsonl"

    @property
    def agent_log(self) -> Path:
        return self.run / "agent.log"

    @property
    def reserve(self) -> Path:
        """Space set aside at the start, given back when the disk is full: the end of a run must still be written down."""
        return self.run / "reserve"

    @property
    def report(self) -> Path:
        return self.run / "report.json"

    @property
    def outbox(self) -> Path:
        return self.work / "outbox"

    @property
    def control(self) -> Path:
        return self.work / "control"

    @property
    def quarantine(self) -> Path:
        return self.work / "quarantine.git"

    def workspace(self, name: str) -> Path:
        return self.work / "workspace" / name

    @property
    def home(self) -> Path:
        """The home that all commands of a dev container share: beside the workspace, so one look measures both."""
        return self.work / "workspace" / "~home"  # no repository has such a name

    @property
    def written(self) -> Path:
        """What holds all that commands can write to this disk."""
        return self.work / "workspace"


def run_folder(paths: Paths, run_id: str) -> RunFolder:
    return RunFolder(run_id, paths.runs / run_id, paths.work / run_id, paths.active / run_id)


def create(folder: RunFolder) -> "RunLock":
    """Make the run's folders and hold its lock. The mark comes first: from then on the next command knows of the run.

    Raises:
        AienvError: the disk is full or the folder cannot be written.
    """
    try:
        for parent in (folder.mark.parent, folder.run.parent, folder.work.parent):
            parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = _new_mark(folder)
        folder.run.mkdir(mode=0o700)
        _set_aside(folder.reserve)
        folder.work.mkdir(mode=0o711)
    except OSError as problem:
        raise AienvError(
            f"the run's folder {folder.run} cannot be made: {problem.strerror}",
            remedy="free some space, or move aienv's files with AIENV_HOME",
            code="disk-full" if problem.errno == errno.ENOSPC else "state-folder",
        ) from problem
    return lock


def _set_aside(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
    finally:
        os.close(descriptor)


class RunLock:
    """Held by whoever looks after a run: its main process, or a recovery. A flock on the mark, so it ends with its holder."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def claim(self) -> None:
        """Write down who we are: a recovery, which ends by itself."""
        os.pwrite(self._descriptor, f"{os.getpid():<10} recovery\n".encode(), 0)

    def release(self) -> None:
        """Give it up; a second time does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def finish(self, folder: RunFolder) -> None:
        """Nobody needs to look after this run any more."""
        folder.mark.unlink(missing_ok=True)
        self.release()


def _new_mark(folder: RunFolder) -> RunLock:
    """The mark appears locked: made under another name, locked, then linked."""
    unborn = folder.mark.with_name(f".{folder.id}")
    descriptor = os.open(unborn, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.write(descriptor, f"{os.getpid():<10}\n".encode())
    os.link(unborn, folder.mark)  # fails where a rename would take the mark of another run with the same id away
    os.unlink(unborn)
    return RunLock(descriptor)


def acquire(folder: RunFolder, wait_s: float = 0.0) -> RunLock | None:
    """The lock of an active run; None when it is over, or somebody else keeps it for longer than ``wait_s``."""
    try:
        descriptor = os.open(folder.mark, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    end = time.monotonic() + wait_s
    while not _lock(descriptor):
        if time.monotonic() >= end:
            os.close(descriptor)
            return None
        time.sleep(_LOCK_POLL_S)
    if not folder.mark.exists() or not os.path.samestat(os.fstat(descriptor), os.stat(folder.mark)):
        os.close(descriptor)  # it finished while we waited
        return None
    return RunLock(descriptor)


def is_owned(folder: RunFolder) -> bool:
    """Whether a living process looks after the run."""
    if (lock := acquire(folder)) is None:
        return folder.mark.exists()
    lock.release()
    return False


@dataclass(frozen=True, slots=True)
class Owner:
    """Who looks after a run: its main process, or a recovery that is finishing it."""

    pid: int
    recovering: bool


def owner_of(folder: RunFolder) -> Owner | None:
    """The living owner of a run, if it has one."""
    if not is_owned(folder):
        return None
    try:
        words = folder.mark.read_text().split()
    except OSError:
        return None
    return Owner(int(words[0]), len(words) > 1) if words and words[0].isdigit() else None


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def active_ids(paths: Paths) -> list[str]:
    """Runs that are not finished."""
    return sorted(name for name in os.listdir(paths.active) if name[0] != ".") if paths.active.is_dir() else []


def all_ids(paths: Paths) -> list[str]:
    """All runs that have a folder, oldest first."""
    return sorted(os.listdir(paths.runs)) if paths.runs.is_dir() else []


def find(paths: Paths, wanted: str) -> RunFolder:
    """A run by its id, by the beginning of it, or ``last``: the last one that is no verification of another.

    Raises:
        NotFound, UsageError: no run, or several.
    """
    ids = all_ids(paths)
    if wanted == "last" and ids:
        found = (run_folder(paths, run_id) for run_id in reversed(ids))
        return next((folder for folder in found if not _is_verification(folder)), run_folder(paths, ids[-1]))
    matches = [run_id for run_id in ids if wanted and run_id.startswith(wanted)]
    if wanted in matches:
        matches = [wanted]
    if not matches:
        raise NotFound(f"no run {wanted!r}", remedy="aienv ps --all lists the runs")
    if len(matches) > 1:
        raise UsageError(f"{wanted!r} could be {', '.join(matches)}", remedy="give more characters of the id")
    return run_folder(paths, matches[0])


def _is_verification(folder: RunFolder) -> bool:
    try:
        plan = json.loads(folder.plan.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(plan, dict) and plan.get("verifies") is not None
