"""A loop in a thread of its own, and what a coroutine in it comes to; a gate on the other side of a socket pair."""

import contextlib
import socket
import threading
from collections.abc import Callable, Collection, Coroutine, Iterator
from typing import Any, TypeVar

from orchestrator.guard.gate import GateClient
from orchestrator.guard.gate_program import Gate
from orchestrator.wire.loop import Loop

T = TypeVar("T")
DEADLINE_S = 20.0


class Looped:
    """``failures``: exceptions that no task handled."""

    def __init__(self) -> None:
        self.failures: list[BaseException] = []
        self.loop = Loop(self.failures.append)
        self._thread = threading.Thread(target=self.loop.run, daemon=True)
        self._thread.start()

    def call(self, act: Callable[[], T]) -> T:
        return self.loop.ask(act, DEADLINE_S)

    def begin(self, make: Callable[[], Coroutine[Any, Any, T]]) -> Callable[[], T]:
        """Start a coroutine; what is returned waits for its result, or raises what it raised."""
        done = threading.Event()
        results: list[T] = []
        problems: list[BaseException] = []

        async def run() -> None:
            try:
                results.append(await make())
            except BaseException as problem:
                problems.append(problem)
                if isinstance(problem, GeneratorExit):
                    raise
            finally:
                done.set()

        self.call(lambda: self.loop.spawn(run()))

        def result() -> T:
            assert done.wait(DEADLINE_S), "the coroutine did not end"
            if problems:
                raise problems[0]
            return results[0]

        return result

    def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return self.begin(make)()

    def stop(self) -> None:
        self.loop.submit(self.loop.stop)
        self._thread.join(DEADLINE_S)


@contextlib.contextmanager
def looped() -> Iterator[Looped]:
    found = Looped()
    try:
        yield found
    finally:
        found.stop()
        assert found.failures == []


@contextlib.contextmanager
def gate(place: Looped, listens: Collection[str] = ("127.0.0.1",), *, dials: bool = True) -> Iterator[GateClient]:
    """The program in a thread, and our end of it in the loop."""
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=Gate(theirs, listens, dials=dials).serve, daemon=True)
    thread.start()
    client = place.call(lambda: GateClient(place.loop, ours))
    try:
        yield client
    finally:
        place.call(client.close)
        thread.join(DEADLINE_S)
        theirs.close()
        assert not thread.is_alive()
