"""Watches one command from outside, and says when it has had more than its limits.

One thread. It decides nothing: it measures (``usage``), asks (``bounds``) and tells. A measurement that fails is told once, and
never ends a run.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.model.task import Limits
from orchestrator.run import bounds, usage
from orchestrator.run.bounds import Breach, Disk, Space, Tree

MEMORY_S, MEMORY_NEAR_S, MEMORY_LATEST_S = 1.0, 0.2, 5.0
MEMORY_SHARE = 50.0  # so many times as long as a measurement took, none is made: 2 % of a processor
JOIN_S = 5.0  # a walk under way ends at its next look


class Watch:
    """Measures until it is closed. ``tell`` is called, from the watching thread, for the first breach and for each that goes on.

    ``unlimited``: names of the limits that nothing else holds here. ``root``: the pid below which the place's processes are, as
    this machine counts; None where they cannot be seen.
    """

    def __init__(
        self, workspace: Path, limits: Limits, unlimited: Iterable[str], root: Callable[[], int | None], tell: Callable[[Breach], None]
    ) -> None:
        self.breach: Breach | None = None
        self.notes: list[str] = []
        self._workspace, self._limits, self._tell = workspace, limits, tell
        self._watched = frozenset(unlimited) & {"memory", "pids"}
        self._root = root
        self._over = threading.Event()
        self._start: Space | None = None
        self._then: Space | None = None
        self._first: Tree | None = None
        self._tree: Tree | None = None
        self._start_bytes: int | None = None
        self._walked_at = self._measured_at = 0.0
        self._memory_rest = 0.0
        self._thread = threading.Thread(target=self._watch, name="limits", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """No word comes after this."""
        self._over.set()
        self._thread.join(JOIN_S)

    def _watch(self) -> None:
        while not self._over.is_set():
            try:
                self._disk()
                if self._watched:
                    self._memory()
            except OSError as problem:
                self._note(f"the run's use of disk and memory could not be measured ({problem.strerror or problem})")
            self._over.wait(bounds.POLL_S)

    def _disk(self) -> None:
        now = usage.space(self._workspace)
        moment = time.monotonic()
        self._start = start = self._start or now
        tree, then = self._tree, self._then
        if tree is not None and then is not None and not bounds.walk_is_due(self._limits, moment - self._walked_at, tree, then, now):
            return
        tree = usage.walk(self._workspace, bounds.files_limit(self._limits), self._over.is_set)
        if self._over.is_set():
            return
        self._then, self._tree, self._walked_at = now, tree, time.monotonic()
        self._first = first = self._first or tree
        if (said := bounds.unmeasured(tree)) is not None:
            self._note(said)
        disk = Disk(start, usage.space(self._workspace), first, tree, 0)
        if bounds.looks_hidden(disk) and (root := self._root()) is not None:
            disk = Disk(start, disk.now, first, tree, usage.deleted_bytes(root, self._workspace))
        self._judge(bounds.disk_breach(self._limits, disk))

    def _memory(self) -> None:
        begin = time.monotonic()
        if begin - self._measured_at < self._memory_rest or (root := self._root()) is None:
            return
        cost = time.thread_time()
        self._start_bytes = start = usage.machine_memory()[1] if self._start_bytes is None else self._start_bytes
        found = usage.memory(root, self._limits.memory_bytes, start)
        cost = time.thread_time() - cost
        near = found.all_bytes * 4 > self._limits.memory_bytes
        self._measured_at = time.monotonic()
        self._memory_rest = MEMORY_NEAR_S if near else min(MEMORY_LATEST_S, max(MEMORY_S, MEMORY_SHARE * cost))
        self._judge(bounds.memory_breach(self._limits, self._watched, found))

    def _judge(self, breach: Breach | None) -> None:
        if breach is None or self._over.is_set():
            return
        if self.breach is None:
            self.breach = breach
            self._tell(breach)
        elif bounds.goes_on(self._limits, self.breach, breach):
            self._tell(breach)

    def _note(self, text: str) -> None:
        if text not in self.notes and len(self.notes) < 5:
            self.notes.append(text)


@contextmanager
def watching(
    workspace: Path, limits: Limits, unlimited: Iterable[str], root: Callable[[], int | None], tell: Callable[[Breach], None]
) -> Iterator[Watch]:
    """A watch for as long as the block lasts."""
    watch = Watch(workspace, limits, unlimited, root, tell)
    watch.start()
    try:
        yield watch
    finally:
        watch.close()
