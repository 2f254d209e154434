"""From a name that is allowed to the addresses that may be dialled. Only allowed names come here: a look-up alone tells tales.

Names are looked up in threads, as the system's resolver cannot be interrupted. What it says is remembered for a few seconds, and judged
each time again, with this machine's addresses of the moment.
"""

import ipaddress
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from orchestrator.egress.addresses import Network, Problem, address_problem
from orchestrator.egress.hosts import Address, Host
from orchestrator.wire.loop import FOREVER, Loop, Task, TimedOut, pause

REMEMBERED_S = 5.0
FAILURES_REMEMBERED_S = 1.0
LOOKUP_S = 20.0
_MAX_THREADS = 8
_MAX_REMEMBERED = 1024

Lookup = Callable[[str], Sequence[Address]]


class Unresolved(Exception):
    """The name has no address, or none that can be had now. The text is the reason."""


@dataclass(frozen=True, slots=True)
class Judged:
    """``good``: may be dialled, in the system's order; ``bad``: the first that may not, and why."""

    good: tuple[Address, ...]
    bad: tuple[Address, Problem] | None


@dataclass(slots=True)
class _Answer:
    """``until``: FOREVER while it is being looked up."""

    until: float = FOREVER
    addresses: tuple[Address, ...] = ()
    failure: str | None = None
    waiting: list[Task | None] = field(default_factory=list)


def system_lookup(name: str) -> Sequence[Address]:
    """All addresses of a name, in the system's order. Raises OSError."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


class Resolver:
    """``own``: this machine's addresses; ``lookup``: the system's."""

    def __init__(self, loop: Loop, private: Sequence[Network], own: Callable[[], frozenset[Address]], lookup: Lookup) -> None:
        self._loop = loop
        self._private = private
        self._own = own
        self._lookup = lookup
        self._answers: dict[str, _Answer] = {}
        self._queue: deque[str] = deque()
        self._threads = 0
        self._own_now: frozenset[Address] = frozenset()
        self._problems: dict[tuple[Address, bool], Problem | None] = {}  # with this machine's addresses of now
        self._own_until = 0.0

    async def judged(self, host: Host, rule_private: bool) -> Judged:
        """The addresses of ``host``, judged now.

        Raises:
            Unresolved: there is none.
        """
        addresses = (host.address,) if host.address is not None else await self._addresses_of(host.name)
        own = self._own_addresses()
        good, bad = [], None
        for address in addresses:
            problem = self._problem(address, rule_private, own)
            if problem is None:
                good.append(address)
            elif bad is None:
                bad = (address, problem)
        return Judged(tuple(good), bad)

    def _problem(self, address: Address, rule_private: bool, own: frozenset[Address]) -> Problem | None:
        key = (address, rule_private)
        if key not in self._problems:
            if len(self._problems) >= _MAX_REMEMBERED:
                self._problems.clear()
            self._problems[key] = address_problem(address, self._private, rule_private, own)
        return self._problems[key]

    def _own_addresses(self) -> frozenset[Address]:
        now = time.monotonic()
        if now >= self._own_until:
            try:
                self._own_now = self._own()
            except OSError:
                raise Unresolved("this machine's own addresses cannot be told from others now") from None
            self._problems.clear()
            self._own_until = now + REMEMBERED_S
        return self._own_now

    async def _addresses_of(self, name: str) -> tuple[Address, ...]:
        answer = self._answers.get(name)
        if answer is None or answer.until <= time.monotonic():
            answer = self._begin(name)
        deadline = time.monotonic() + LOOKUP_S
        while answer.until == FOREVER:
            answer.waiting.append(self._loop.current)
            try:
                await pause(deadline)
            except TimedOut:
                raise Unresolved(f"{name} could not be looked up within {LOOKUP_S:.0f} s") from None
        if answer.failure is not None:
            raise Unresolved(answer.failure)
        return answer.addresses

    def _begin(self, name: str) -> _Answer:
        if len(self._answers) >= _MAX_REMEMBERED:
            for old in [key for key, answer in self._answers.items() if answer.until < FOREVER]:
                del self._answers[old]
        answer = self._answers[name] = _Answer()
        self._queue.append(name)
        if self._threads < _MAX_THREADS:
            self._threads += 1
            threading.Thread(target=self._work, name="egress-lookup", daemon=True).start()
        return answer

    def _work(self) -> None:
        """In a thread of its own: look names up until there are no more."""
        while True:
            try:
                name = self._queue.popleft()
            except IndexError:
                self._loop.submit(self._thread_ended)
                return
            addresses: tuple[Address, ...] = ()
            failure = None
            try:
                addresses = tuple(dict.fromkeys(self._lookup(name)))
                failure = None if addresses else f"{name} has no address"
            except (OSError, ValueError) as problem:
                failure = f"{name} could not be resolved: {getattr(problem, 'strerror', None) or problem}"
            self._loop.submit(lambda name=name, addresses=addresses, failure=failure: self._answered(name, addresses, failure))  # type: ignore[misc]

    def _thread_ended(self) -> None:
        self._threads -= 1
        if self._queue and not self._threads:  # a name came while the last thread was on its way out
            self._threads += 1
            threading.Thread(target=self._work, name="egress-lookup", daemon=True).start()

    def _answered(self, name: str, addresses: tuple[Address, ...], failure: str | None) -> None:
        answer = self._answers.get(name)
        if answer is None or answer.until < FOREVER:
            return
        answer.addresses, answer.failure = addresses, failure
        answer.until = time.monotonic() + (REMEMBERED_S if failure is None else FAILURES_REMEMBERED_S)
        for task in answer.waiting:
            self._loop.schedule(task)
        answer.waiting.clear()
