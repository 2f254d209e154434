"""Where the agent's output goes: byte-exactly to our own output, and to ``agent.log``.

The terminal may be slow; then the agent waits (nothing is dropped, nothing piles up). Once the run is being stopped, the
terminal no longer holds it up: the log still gets every byte that its limit leaves room for.
"""

import contextlib
import os
import select
import threading
from pathlib import Path

from orchestrator.run.bounded_log import BoundedLog

_POLL_S = 0.2


class OutputSink:
    """A sink for the launcher client. ``quiet``: the log only. ``limit``: the most bytes that the log may have."""

    def __init__(self, log: Path, stdout: int, stderr: int, quiet: bool, limit: int) -> None:
        self._log = BoundedLog(log, limit)
        self._stdout, self._stderr = stdout, stderr
        self._quiet = quiet
        self._detached = threading.Event()
        self.bytes = 0
        self.log_problem: str | None = None  # a full disk must not end the agent: it is told in the report

    def stdout(self, data: bytes) -> None:
        self._take(self._stdout, data)

    def stderr(self, data: bytes) -> None:
        self._take(self._stderr, data)

    def detach(self) -> None:
        """From now on a blocked terminal is not waited for."""
        self._detached.set()

    def close(self) -> None:
        self._log.close()

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not in the log, for people."""
        return tuple(note for note in (self.log_problem, self._log.note) if note)

    def _take(self, terminal: int, data: bytes) -> None:
        self._keep(data)
        self._show(terminal, data)

    def _keep(self, data: bytes) -> None:
        """Into the log."""
        self.bytes += len(data)
        try:
            self._log.write(data)
        except OSError as problem:
            self.log_problem = self.log_problem or f"agent.log is incomplete from byte {self.bytes - len(data)}: {problem.strerror}"

    def _held_up(self) -> None:
        """The terminal takes nothing now, and so the agent's output waits."""

    def _show(self, terminal: int, data: bytes) -> bool:
        """To the terminal, unless nobody listens. Whether it took all of it."""
        view = memoryview(data)
        while view and not self._quiet:
            if self._detached.is_set() and not select.select([], [terminal], [], 0)[1]:
                return False
            if not select.select([], [terminal], [], _POLL_S)[1]:
                self._held_up()
                continue
            try:
                # At most PIPE_BUF is sure not to block after select said that there is room: a write that blocks is never detached.
                view = view[os.write(terminal, view[: select.PIPE_BUF]) :]
            except BlockingIOError:
                continue
            except OSError:
                self._quiet = True  # the reader went away (aienv run | head): the run goes on, the log has it all
        return True


class TailSink:
    """Keeps the last bytes of a check's output, and in a file as much of it as ``limit`` allows."""

    def __init__(self, log: Path, limit: int, keep: int = 4096) -> None:
        self._log = BoundedLog(log, limit)
        self._keep = keep
        self.tail = b""

    def stdout(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # a full disk: the tail is what reports show
            self._log.write(data)
        self.tail = (self.tail + data)[-self._keep :]

    stderr = stdout

    def close(self) -> None:
        self._log.close()
