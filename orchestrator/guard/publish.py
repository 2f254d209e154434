"""Published ports: sockets that listen where the clients are, each connection carried to the container's own port.

Nothing is published by the engine: on the host nobody could tell whose port that is. A connection is dialled when it is accepted, so a
container may be restarted, with another address, and keep its ports.
"""

import contextlib
import errno
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from orchestrator.guard.calls import Denied, PortAsk, deny
from orchestrator.guard.gate import GateLost
from orchestrator.guard.ports import OPENED_ON
from orchestrator.wire.flows import SinkLost, SourceLost, tunnel
from orchestrator.wire.listener import Listener
from orchestrator.wire.loop import Loop, Task, TimedOut
from orchestrator.wire.wires import Wire

BACKLOG = 128

Listen = Callable[[int], Awaitable[socket.socket]]
Dial = Callable[[str, int], Awaitable[socket.socket]]
AddressOf = Callable[[str], Awaitable[str | None]]
Published = dict[int, tuple[tuple[str, int], ...]]


@dataclass(frozen=True, slots=True)
class PublishLimits:
    """``connections``: at once, to all ports together; more wait in the backlog. ``ports_each``: tried of a range."""

    connections: int = 256
    ports_each: int = 256


DEFAULTS = PublishLimits()


async def listen_here(port: int) -> socket.socket:
    """A socket on this process's own loopback: for a guard whose clients share it. Raises OSError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((OPENED_ON, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


@dataclass(slots=True)
class _Opened:
    """One container's. ``ready``: all of them are there."""

    ports: list["_Port"] = field(default_factory=list)
    ready: bool = False


class Publisher:
    """The ports of a session's containers. In the loop's thread.

    ``listen``: port -> a socket on the clients' loopback; ``dial``: into the containers' network; ``address_of``: of a container there now.
    """

    def __init__(self, loop: Loop, listen: Listen, dial: Dial, address_of: AddressOf, limits: PublishLimits = DEFAULTS) -> None:
        self.loop = loop
        self._listen = listen
        self._dial = dial
        self._address_of = address_of
        self._limits = limits
        self._open: dict[str, _Opened] = {}

    async def open(self, container: str, asks: tuple[PortAsk, ...]) -> Published:
        """Open all of them or none; again: what is open already.

        Raises:
            Denied: a port is taken, may not be had, or the container was closed meanwhile.
        """
        opened = self._open.get(container)
        if opened is not None:
            if not opened.ready:
                raise deny("ports.busy", "the ports of this container are being opened", status=409)
            return self.shown(container)
        opened = self._open[container] = _Opened()
        try:
            for ask in asks:
                sock = await self._socket(ask)
                if self._open.get(container) is not opened:
                    sock.close()
                    raise deny("ports.closed", "the container ended while its ports were opened", status=409)
                opened.ports.append(_Port(self, container, ask.port, sock))
            opened.ready = True
        finally:  # also when the task is ended while it waits
            if not opened.ready and self._open.get(container) is opened:
                self.close(container)
        return self.shown(container)

    def close(self, container: str) -> None:
        """Its listeners and their connections."""
        opened = self._open.pop(container, None)
        for port in opened.ports if opened else ():
            port.close()

    def close_all(self) -> None:
        for container in list(self._open):
            self.close(container)

    def shown(self, container: str) -> Published:
        """Port of the container -> where clients reach it."""
        found: Published = {}
        opened = self._open.get(container)
        for port in opened.ports if opened else ():
            found[port.inside] = (*found.get(port.inside, ()), (OPENED_ON, port.number))
        return found

    # --- inside

    async def _socket(self, ask: PortAsk) -> socket.socket:
        last = min(ask.last_port or ask.host_port, ask.host_port + self._limits.ports_each - 1)
        for number in range(ask.host_port, last + 1):
            try:
                return await self._listen(number)
            except (OSError, TimedOut, GateLost) as problem:
                if getattr(problem, "errno", None) != errno.EADDRINUSE or number == last:
                    raise _refusal(ask, number, problem) from None
        raise AssertionError("a range has a last port")

    @property
    def connections(self) -> int:
        return sum(port.count for opened in self._open.values() for port in opened.ports)

    @property
    def full(self) -> bool:
        return self.connections >= self._limits.connections

    def look(self) -> None:
        """There may be room for whoever waits, at any port."""
        for opened in self._open.values():
            for port in opened.ports:
                port.look()

    async def carry(self, container: str, port: int, sock: socket.socket) -> None:
        """One connection, from its acceptance to its end."""
        client = Wire(self.loop, sock)
        target: Wire | None = None
        try:
            target = await self._target(container, port)
            if target is not None:
                await tunnel(self.loop, client, target)
                target.close()
            client.close()  # nobody there: an end without an error, as clients know it from Docker's own proxy
        except (OSError, TimedOut, SourceLost, SinkLost):
            pass  # what broke off on one side breaks off on the other
        finally:
            client.abort()
            if target is not None:
                target.abort()

    async def _target(self, container: str, port: int) -> Wire | None:
        try:
            address = await self._address_of(container)
            dialled = None if address is None else await self._dial(address, port)
        except (OSError, TimedOut, GateLost, Denied):
            return None
        if dialled is None:
            return None
        dialled.setblocking(False)
        with contextlib.suppress(OSError):
            dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Wire(self.loop, dialled)


def _refusal(ask: PortAsk, number: int, problem: Exception) -> Denied:
    """In Docker's own words where it has some: clients know them."""
    match getattr(problem, "errno", None):
        case errno.EADDRINUSE:
            return deny("ports.in-use", f"Bind for {OPENED_ON}:{number} failed: port is already allocated", status=500)
        case errno.EACCES:
            return deny("ports.low", f"port {number} may not be opened here", allowed="host ports from 1024 on", status=403)
        case _:
            return deny("ports.unavailable", f"port {number} for {ask.port}/tcp could not be opened: {problem or 'no answer'}", status=500)


class _Port(Listener):
    """A published port of a container."""

    def __init__(self, publisher: "Publisher", container: str, inside: int, sock: socket.socket) -> None:
        self.inside = inside
        self.number: int = sock.getsockname()[1]
        self._publisher = publisher
        super().__init__(publisher.loop, sock, lambda client: publisher.carry(container, inside, client), lambda _: publisher.full)

    def _gone(self, task: Task, sock: socket.socket) -> None:
        super()._gone(task, sock)
        self._publisher.look()
