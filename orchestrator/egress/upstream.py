"""The way to a server: resolve, judge every address, dial exactly one that was judged, and with TLS ask for its certificate."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.egress.denials import Refusal, Refused, refused
from orchestrator.egress.hosts import Address, Host
from orchestrator.egress.resolver import Resolver, Unresolved
from orchestrator.egress.rules import Ask, Decision, Scheme, refuse_address, refuse_denied
from orchestrator.model.network import NetworkPlan
from orchestrator.wire.loop import Loop, TimedOut, pause
from orchestrator.wire.wires import Wire

if TYPE_CHECKING:
    from orchestrator.egress.tls import Authorities

CONNECT_S = 10.0  # per address
HANDSHAKE_S = 20.0
MAX_ADDRESSES = 6

Dialled = Callable[[Address, int], tuple[str, int]]


@dataclass(slots=True)
class Upstream:
    """A connection to a server. ``key``: what it may be used again for. ``used_at``: when its last answer ended, monotonic."""

    wire: Wire
    address: Address
    key: tuple[str, str, int, bool]
    used_at: float = 0.0
    fresh: bool = True


def as_it_is(address: Address, port: int) -> tuple[str, int]:
    return str(address), port


class Dialler:
    """``plan``: whose denied addresses are not dialled under a name either. ``place``: where an address stands; only tests, which have no
    public addresses, need another than the address itself."""

    def __init__(self, loop: Loop, resolver: Resolver, plan: NetworkPlan, place: Dialled = as_it_is) -> None:
        self._loop = loop
        self._plan = plan
        self._resolver = resolver
        self._place = place

    async def dial(self, scheme: Scheme, host: Host, port: int, decision: Decision) -> Upstream:
        """A connection to ``host``, which ``decision`` allows by name. Without TLS as yet.

        Raises:
            Refused: no address may be dialled, or none answers.
        """
        private = is_private(decision)
        try:
            judged = await self._resolver.judged(host, private)
        except Unresolved as problem:
            raise Refused(Refusal(502, "unresolved", str(problem), host.name, port)) from None
        if not judged.good:
            assert judged.bad is not None
            raise refused(refuse_address(Ask(scheme, host, port), *judged.bad), host.name, port)
        ask = Ask(scheme, host, port)
        denials = {address: refuse_denied(self._plan, ask, address) for address in judged.good}
        good = [address for address, denial in denials.items() if denial is None]
        if not good:
            raise refused(next(denial for denial in denials.values() if denial is not None), host.name, port)
        reason = ""
        for address in good[:MAX_ADDRESSES]:
            try:
                return Upstream(await self._connect(address, port), address, (scheme, host.name, port, private))
            except OSError as failure:
                reason = f"{address}: {failure.strerror or failure}"
            except TimedOut:
                reason = f"{address}: no answer within {CONNECT_S:.0f} s"
        raise Refused(Refusal(502, "unreachable", f"{host.with_port(port)} does not answer ({reason})", host.name, port))

    async def _connect(self, address: Address, port: int) -> Wire:
        """Raises OSError; TimedOut."""
        wanted, at = self._place(address, port)
        family = socket.AF_INET6 if ":" in wanted else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            begun = sock.connect_ex((wanted, at))
            wire = Wire(self._loop, sock)
        except BaseException:  # the end of a phase too: no descriptor is left behind, and the reason goes on
            sock.close()
            raise
        try:
            _check(begun, also=115)  # EINPROGRESS
            wire.writable = begun == 0
            deadline = self._loop.in_seconds(CONNECT_S)
            while not wire.writable:
                await pause(deadline)
            _check(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        except BaseException:  # the end of a phase too: no descriptor is left behind, and the reason goes on
            wire.close()
            raise
        return wire


async def secure(upstream: Upstream, loop: Loop, authorities: "Authorities", host: Host, port: int) -> None:
    """Put TLS around a connection, and be sure that it is ``host`` who answers. The upstream's wire is another one afterwards.

    Raises:
        Refused: it is not, or no TLS can be had.
    """
    from orchestrator.egress.tls import TlsWire, problem_of

    context = authorities.towards_servers()
    try:
        upstream.wire = wire = TlsWire(loop, upstream.wire, context, host.name)
        await wire.handshake(loop.in_seconds(HANDSHAKE_S))
    except OSError as problem:
        raise Refused(Refusal(502, "tls", f"{host.with_port(port)}: {problem_of(problem)}", host.name, port)) from None
    except TimedOut:
        raise Refused(Refusal(502, "tls", f"{host.with_port(port)}: no TLS within {HANDSHAKE_S:.0f} s", host.name, port)) from None


def _check(number: int, also: int = 0) -> None:
    if number not in (0, also):
        raise OSError(number, os.strerror(number))


def is_private(decision: Decision) -> bool:
    """Whether the row that allowed a name allows it addresses that are not public."""
    return decision.matched is not None and decision.matched.private
