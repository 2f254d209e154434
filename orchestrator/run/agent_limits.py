"""Holds a running agent to its budget: what its events say, and how long it is silent.

Events and output come from the thread that reads them, silence from one of our own, which exists only where silence is limited. It
decides nothing: ``agents.budget`` does.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orchestrator.agents.budget import FINE, Budget, Finding, Meter
from orchestrator.agents.schema import AgentEvent

POLL_MOST_S = 1.0
POLL_SHARE = 20.0
JOIN_S = 5.0


class AgentWatch:
    """``tell`` is called for each notice and for the first stop, from whichever thread learned of it, and must not block."""

    def __init__(self, budget: Budget, tell: Callable[[Finding], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.breach: Finding | None = None
        self.notes: list[str] = []
        self._budget, self._tell, self._clock = budget, tell, clock
        self._meter = Meter(budget, clock())
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="agent-limits", daemon=True)

    def start(self) -> None:
        """The agent runs from now on."""
        self.heard()
        if self._budget.idle_s is not None:
            self._thread.start()

    def close(self) -> None:
        """No word comes after this."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join(JOIN_S)

    def heard(self) -> None:
        """A piece of output came."""
        with self._lock:
            self._meter.heard(self._clock())

    def event(self, event: AgentEvent) -> None:
        with self._lock:
            finding = self._meter.take(event, self._clock())
        # The last event comes when the agent has ended by itself: there is nothing to stop.
        self._judge(finding if event.kind != "end" else FINE)

    def _watch(self) -> None:
        idle_s = self._budget.idle_s or 0.0
        while not self._over.wait(min(POLL_MOST_S, max(0.01, idle_s / POLL_SHARE))):
            with self._lock:
                finding = self._meter.silence(self._clock())
            self._judge(finding)

    def _judge(self, finding: Finding) -> None:
        with self._lock:
            if finding.kind == "ok" or self.breach is not None or self._over.is_set():
                return
            if finding.kind == "stop":
                self.breach = finding
            else:
                self.notes.append(finding.text)
        self._tell(finding)


@contextmanager
def watching_agent(budget: Budget, tell: Callable[[Finding], None]) -> Iterator[AgentWatch]:
    """A watch for as long as the block lasts."""
    watch = AgentWatch(budget, tell)
    watch.start()
    try:
        yield watch
    finally:
        watch.close()
