"""The log's file: opened by one process at a time, appended to by any of its threads, synced when asked."""

import fcntl
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from orchestrator.audit.record import EMPTY, Head, append, verify


class AuditLog:
    """Appends events to one run's ``audit.jsonl``.

    A writer that was killed may leave half a line: it is cut off, and the cut is an event of its own.
    """

    def __init__(self, path: Path, run: str, clock: Callable[[], float] = time.time) -> None:
        self._run = run
        self._clock = clock
        self._lock = threading.Lock()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self.head, cut = self._resume()
        if cut:
            self.write("log.cut", {"bytes": cut})

    def write(self, kind: str, facts: dict[str, object]) -> None:
        """Raises OSError: nothing was written, and the chain goes on as if it had not been tried."""
        with self._lock:
            line, head = append(self.head, self._clock(), self._run, kind, facts)
            self._append(line)
            self.head = head

    def sync(self) -> None:
        os.fdatasync(self._file)

    def close(self) -> None:
        if self._file >= 0:
            self.sync()
            os.close(self._file)
            self._file = -1

    def _append(self, line: bytes) -> None:
        """All of ``line`` or nothing: a disk that is full takes a part of it."""
        size = os.fstat(self._file).st_size
        count = 0
        try:
            while count < len(line):
                count += os.write(self._file, line[count:])
        except OSError:
            os.ftruncate(self._file, size)
            raise

    def _resume(self) -> tuple[Head, int]:
        size = os.fstat(self._file).st_size
        data = os.pread(self._file, size, 0) if size else b""
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.ftruncate(self._file, len(whole))
        head = verify(whole.splitlines())
        return (head if isinstance(head, Head) else EMPTY), len(data) - len(whole)
