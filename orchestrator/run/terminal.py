"""The user's terminal, lent to the agent: raw mode, keys in, size changes along, and given back as it was."""

import contextlib
import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from orchestrator.errors import UsageError
from orchestrator.launcher.client import Process, TerminalSize

_POLL_S = 0.2


class Terminal:
    """Standard input in raw mode. ``connect`` starts to pass keys to a process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._process: Process | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def size(self) -> TerminalSize:
        columns, rows = os.get_terminal_size(self._descriptor)
        return TerminalSize(rows, columns)

    def connect(self, process: Process) -> None:
        self._process = process
        self._thread = threading.Thread(target=self._copy, args=(process,), name="terminal", daemon=True)
        self._thread.start()
        signal.signal(signal.SIGWINCH, self._resized)

    def close(self) -> None:
        signal.signal(signal.SIGWINCH, signal.SIG_DFL)
        self._over.set()
        if self._thread is not None:
            self._thread.join(2 * _POLL_S)

    def _resized(self, _number: int, _frame: FrameType | None) -> None:
        # Sending takes a lock that the interrupted main thread may hold: another thread does it.
        if (process := self._process) is not None:
            threading.Thread(target=lambda: process.resize(self.size()), daemon=True).start()

    def _copy(self, process: Process) -> None:
        while not self._over.is_set():
            if select.select([self._descriptor], [], [], _POLL_S)[0]:
                try:
                    data = os.read(self._descriptor, 4096)
                except OSError:
                    return  # hung up: HUP ends the run
                if not data:
                    return
                process.write(data)


@contextmanager
def terminal(wanted: bool) -> Iterator[Terminal | None]:
    """The terminal while the agent has it; None when it is not wanted.

    Raises:
        UsageError: standard input is no terminal.
    """
    if not wanted:
        yield None
        return
    descriptor = sys.stdin.fileno()
    require_terminal()
    before = termios.tcgetattr(descriptor)
    term = Terminal(descriptor)
    try:
        tty.setraw(descriptor)
        yield term
    finally:
        term.close()
        with contextlib.suppress(termios.error):  # the user closed the window
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def require_terminal() -> None:
    if not sys.stdin.isatty():
        raise UsageError("--tty needs a terminal on standard input", remedy="leave out --tty, or run in a terminal", code="no-terminal")
