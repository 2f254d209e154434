"""What all connections of one phase share, and how one attempt ends: in an event, and where it was refused in an answer."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.egress.credentials import Misplaced, Vault
from orchestrator.egress.denials import Refusal, Refused, answer
from orchestrator.egress.judge import Judge, Place
from orchestrator.egress.upstream import Dialler
from orchestrator.egress.usage import Attempt, Usage
from orchestrator.model.network import Phase
from orchestrator.wire.http1 import RequestHead
from orchestrator.wire.loop import Loop, TimedOut
from orchestrator.wire.wires import Wire

if TYPE_CHECKING:
    from orchestrator.egress.tls import Authorities

LINGER_BYTES = 64 << 20  # many clients send all of a body before they read why nobody wanted it

NO_HOST = "(no host)"  # of a request that named none, or none that is clear


@dataclass(frozen=True, slots=True)
class Deadlines:
    """In seconds. ``head``: from a head's first byte to its last, and for the first words in a tunnel; ``idle``: between requests;
    ``linger``: for a client to read our last words; ``gone``: a client that closed its side, or died (which looks alike), still gets an
    answer that comes this soon.
    """

    head: float = 30.0
    idle: float = 120.0
    linger: float = 5.0
    gone: float = 5.0


@dataclass(frozen=True, slots=True)
class Services:
    """``authorities``: made when TLS is first needed. ``failed``: hears of our own faults."""

    loop: Loop
    judge: Judge
    dialler: Dialler
    usage: Usage
    vault: Vault
    phase: Phase
    authorities: "Callable[[], Authorities]"
    failed: Callable[[BaseException], None]
    deadlines: Deadlines


@dataclass(slots=True)
class Trace:
    """What is known of an attempt so far. ``begun``: an answer has begun to go out; ``told``: it is in the log."""

    head: RequestHead | None = None
    place: Place | None = None
    scheme: str = ""
    host: str = ""
    port: int = 0
    rule: str = ""
    sni: str | None = None
    address: str | None = None
    status: int | None = None
    bytes_out: int = 0
    bytes_in: int = 0
    began: float = 0.0
    begun: bool = False
    told: bool = False

    def facts(self, refusal: Refusal | None = None) -> Attempt:
        place, head = self.place, self.head
        return Attempt(
            host=place.host.name if place else self.host or (refusal.host if refusal else "") or NO_HOST,
            port=place.port if place else self.port or (refusal.port if refusal else 0),
            scheme=place.scheme if place else self.scheme,
            rule=refusal.rule if refusal else self.rule,
            method=head.method if head else None,
            path=place.path if place else None,
            sni=self.sni,
            address=self.address,
            status=refusal.status if refusal else self.status,
            bytes_out=self.bytes_out,
            bytes_in=self.bytes_in,
            seconds=time.monotonic() - self.began if self.began else 0.0,
            reason=refusal.reason if refusal else None,
            flag=refusal.flag if refusal else None,
            yaml=refusal.yaml if refusal else None,
        )


def record(services: Services, trace: Trace, refusal: Refusal | None) -> None:
    """The event of an attempt. A server that failed was allowed all the same."""
    trace.told = True
    if refusal is None or refusal.status in (502, 504):
        services.usage.allowed(trace.facts(refusal))
    else:
        services.usage.denied(trace.facts(refusal))


def record_if_untold(services: Services, trace: Trace) -> None:
    """The event of an attempt that was let through and then broke off, however that came: names may have been looked up for it, servers
    dialled. For ``finally``."""
    if trace.rule and not trace.told:
        record(services, trace, None)


def check_log(services: Services) -> None:
    """Raises Refused: what goes out could not be written down."""
    if not services.usage.told():
        raise Refused(Refusal(403, "internal", "the log cannot be written, so nothing may go out"))


def as_refusal(services: Services, problem: Exception) -> Refusal:
    """What to say about an exception: our own words where it is one of ours, and where we failed to judge, a refusal."""
    if isinstance(problem, Misplaced):
        for name in problem.names:
            services.usage.credential(name, problem.refusal.host, "refused")
    if isinstance(problem, Refused):
        return problem.refusal
    services.failed(problem)
    return Refusal(403, "internal", "aienv could not judge this request")


async def tell(services: Services, client: Wire, refusal: Refusal, trace: Trace, *, stays: bool = False) -> None:
    """Send a refusal. Without ``stays`` the client is to read it before it sees the end."""
    head_only = trace.head is not None and trace.head.method == "HEAD"
    whole = answer(refusal, services.judge.plan, close=not stays, head_only=head_only)
    linger_s = services.deadlines.linger
    try:
        await client.send_all(whole, services.loop.in_seconds(linger_s))
        if not stays:
            await client.linger(linger_s, LINGER_BYTES)
    except (OSError, TimedOut):
        client.abort()
