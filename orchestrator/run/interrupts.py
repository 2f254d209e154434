"""^C, TERM and HUP, turned into values that the main path asks for at places where it can act.

Handlers only put into a SimpleQueue (its put is reentrant) or, while nothing of the agent's exists yet, raise: then the
way out is simply undoing.
"""

import queue
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from orchestrator.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """``inbox`` carries "signal" for each signal, and whatever else the main loop waits for."""

    def __init__(self) -> None:
        self.inbox: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.count = 0
        self._abortable = False

    def handle(self, number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self._abortable:
            raise Interrupted("interrupted before the agent started", remedy=None)
        self.inbox.put("signal")

    @contextmanager
    def installed(self) -> Iterator[None]:
        # HUP stays ignored where it was: under nohup the closed terminal is nobody's wish to stop.
        taken = [number for number in _SIGNALS if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self.handle) for number in taken}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def abortable(self) -> Iterator[None]:
        """While this lasts a signal raises ``Interrupted`` in the main thread."""
        self._abortable = True
        try:
            if self.count:
                raise Interrupted("interrupted before the agent started")
            yield
        finally:
            self._abortable = False

    def message(self, timeout_s: float) -> str | None:
        """The next message, or None after ``timeout_s``."""
        try:
            return self.inbox.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None
