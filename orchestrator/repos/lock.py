"""Advisory locks with a deadline. The kernel drops a lock with its process, so none is ever stale."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from orchestrator.errors import EnvironmentFailed

POLL_S = 0.05  # flock has no timeout of its own


@contextlib.contextmanager
def locked(path: Path, *, shared: bool, deadline_s: float, doing: str) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs. The file stays: to remove it would race with who waits for it.

    Raises:
        EnvironmentFailed: another process held it until the deadline.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _acquire(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, deadline_s, path, doing)
        yield
    finally:
        os.close(descriptor)


def try_locked(path: Path) -> int | None:
    """An exclusive lock at once, as a descriptor to close; None when somebody holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _acquire(descriptor: int, mode: int, deadline_s: float, path: Path, doing: str) -> None:
    end = time.monotonic() + deadline_s
    while True:
        try:
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                raise EnvironmentFailed(
                    f"{doing}: another process holds {path} for {deadline_s:.0f} s already",
                    remedy="wait for the other run, or see who holds it: fuser " + str(path),
                    code="locked",
                ) from None
        time.sleep(POLL_S)
