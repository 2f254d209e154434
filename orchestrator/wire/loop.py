"""One thread that serves all connections: a connection is a coroutine that runs until it would have to wait.

Threads of Python take turns at one lock, and handing it over costs more than a whole request does; so there is one turn-taker here
instead. ``asyncio`` would do, but costs the run's start more than all of egress, and hides descriptors behind transports, while
``splice`` and a look at what a client sent first (``MSG_PEEK``) need them.

A task waits with ``await pause(...)`` and is woken by anything that happens to one of its descriptors; it looks for itself whether that is
what it waited for. Nothing is lost in between: flags are set by the loop alone, while no task runs.
"""

import contextlib
import os
import select
import threading
import time
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
FOREVER = float("inf")
EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET


class TimedOut(Exception):
    """A wait has reached its deadline."""


class Watched(Protocol):
    """Something with a descriptor, told of what happens to it."""

    def notice(self, events: int) -> None: ...


@types.coroutine
def pause(deadline: float) -> Generator[float, None, None]:
    """Wait until something happens to what the task watches; ``deadline`` as of ``time.monotonic``.

    Raises:
        TimedOut: the deadline has come first.
    """
    yield deadline


class Task:
    """One coroutine under way."""

    __slots__ = ("coroutine", "deadline", "ended", "scheduled")

    def __init__(self, coroutine: Coroutine[float, None, None]) -> None:
        self.coroutine = coroutine
        self.deadline = FOREVER
        self.scheduled = False
        self.ended: Callable[[], None] | None = None


class Loop:
    """``failed`` hears of exceptions that a task did not handle itself."""

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        self._failed = failed
        self._epoll = select.epoll()
        self._watched: dict[int, Watched] = {}
        self._tasks: set[Task] = set()
        self._ready: deque[Task] = deque()
        self._calls: deque[Callable[[], None]] = deque()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._waking = threading.Lock()
        self._epoll.register(self._wake, select.EPOLLIN)
        self._look_at = FOREVER  # when the first deadline may have passed
        self._stopping = False
        self.current: Task | None = None

    # --- for tasks and what they use, in the loop's thread

    def spawn(self, coroutine: Coroutine[Any, None, None]) -> Task:
        task = Task(coroutine)
        self._tasks.add(task)
        self.schedule(task)
        return task

    def schedule(self, task: Task | None) -> None:
        if task is not None and not task.scheduled:
            task.scheduled = True
            self._ready.append(task)

    def in_seconds(self, seconds: float) -> float:
        """A deadline."""
        return time.monotonic() + seconds

    async def breathe(self) -> None:
        """Let the others have their turn."""
        self.schedule(self.current)
        await pause(FOREVER)

    def watch(self, descriptor: int, watched: Watched) -> None:
        self._epoll.register(descriptor, EVENTS)
        self._watched[descriptor] = watched

    def rewatch(self, descriptor: int, watched: Watched) -> None:
        """The same descriptor belongs to another object from now on."""
        self._watched[descriptor] = watched

    def forget(self, descriptor: int) -> None:
        """Before it is closed."""
        if self._watched.pop(descriptor, None) is not None:
            with contextlib.suppress(OSError):
                self._epoll.unregister(descriptor)

    def end(self, task: Task) -> None:
        """End a task where it stands; its ``finally`` blocks run."""
        try:
            task.coroutine.close()
        except Exception as problem:  # noqa: BLE001 - the outermost place: what it is must not stop the others
            self._failed(problem)
        self._ended(task)

    # --- for other threads

    def submit(self, call: Callable[[], None]) -> None:
        """Have ``call`` called in the loop's thread."""
        self._calls.append(call)
        with self._waking, contextlib.suppress(BlockingIOError):
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def ask(self, call: Callable[[], T], deadline_s: float) -> T:
        """What ``call`` gives in the loop's thread.

        Raises:
            TimedOut: it gave nothing in time.
        """
        answered = threading.Event()
        answers: list[T] = []
        problems: list[Exception] = []

        def run() -> None:
            try:
                answers.append(call())
            except Exception as problem:  # noqa: BLE001 - it is the asker's
                problems.append(problem)
            answered.set()

        self.submit(run)
        if not answered.wait(deadline_s):
            raise TimedOut
        if problems:
            raise problems[0]
        return answers[0]

    def stop(self) -> None:
        self._stopping = True

    def run(self) -> None:
        """Serve until ``stop``; then end every task."""
        while not self._stopping:
            self._turn()
        for task in list(self._tasks):
            self.end(task)
        self._epoll.close()
        with self._waking:  # whoever calls late must not write to what has our number then
            os.close(self._wake)
            self._wake = -1

    # --- inside

    def _turn(self) -> None:
        timeout = 0.0 if self._ready or self._calls else self._look_at - time.monotonic()
        for descriptor, events in self._epoll.poll(None if timeout == FOREVER else max(timeout, 0.0), 256):
            watched = self._watched.get(descriptor)
            if watched is not None:
                watched.notice(events)
            elif descriptor == self._wake:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(self._wake)
        while self._calls:
            self._call(self._calls.popleft())
        for _ in range(len(self._ready)):
            task = self._ready.popleft()
            task.scheduled = False
            if task in self._tasks:
                self._resume(task, None)
        if time.monotonic() >= self._look_at:
            self._look_for_late()

    def _call(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as problem:  # noqa: BLE001 - the outermost place: what it is must not stop the others
            self._failed(problem)

    def _resume(self, task: Task, problem: BaseException | None) -> None:
        self.current = task
        try:
            deadline = task.coroutine.send(None) if problem is None else task.coroutine.throw(problem)
        except StopIteration:
            self._ended(task)
        except Exception as unhandled:  # noqa: BLE001 - the outermost place: what it is must not stop the others
            self._failed(unhandled)
            self._ended(task)
        else:
            task.deadline = deadline
            if deadline < self._look_at:
                self._look_at = deadline
        finally:
            self.current = None

    def _look_for_late(self) -> None:
        now = time.monotonic()
        self._look_at = FOREVER
        for task in [task for task in self._tasks if task.deadline <= now]:
            self._resume(task, TimedOut())
        self._look_at = min((task.deadline for task in self._tasks), default=FOREVER)

    def _ended(self, task: Task) -> None:
        if task in self._tasks:
            self._tasks.discard(task)
            if task.ended is not None:
                task.ended()
