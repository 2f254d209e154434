"""Phase lines on standard error while a run goes on, and the time that each phase took."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.report.text import duration, printable


class Progress:
    """Says what happens. ``quiet``: measures only. On a terminal a phase that takes long shows its seconds."""

    def __init__(self, quiet: bool, stream: int = 2) -> None:
        self._quiet = quiet
        self._stream = stream
        self._terminal = os.isatty(stream)
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self.timings: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str, doing: str) -> Iterator[None]:
        """One phase: a line when it begins, the time when it has ended."""
        begin = time.monotonic()
        self.say(f"{doing} ...") if doing else None
        try:
            yield
        finally:
            self.timings[name] = self.timings.get(name, 0.0) + time.monotonic() - begin

    def say(self, text: str) -> None:
        if self._quiet:
            return
        # While the agent has the terminal, a line break alone would not go back to the first column.
        line = f"aienv: {duration(time.monotonic() - self._started):>6}  {printable(text)}" + ("\r\n" if self._terminal else "\n")
        with self._lock:
            self._write(line)

    def total(self) -> dict[str, float]:
        return {**self.timings, "total": time.monotonic() - self._started}

    def _write(self, line: str) -> None:
        try:
            os.write(self._stream, line.encode("utf-8", "backslashreplace"))
        except OSError:
            self._quiet = True  # nobody listens any more; the run goes on


def warn(text: str) -> None:
    print(f"aienv: warning: {printable(text)}", file=sys.stderr)
