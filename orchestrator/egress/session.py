"""The requests of one client, one after the other: each is parsed, placed, judged and forwarded by itself.

The same for all three ways in: the proxy's port, the gateway, and the inside of a tunnel that is looked into. They differ in how a
request tells where it goes.
"""

import time

from orchestrator.egress.attempts import LINGER_BYTES, Services, Trace, as_refusal, check_log, record, record_if_untold, tell
from orchestrator.egress.credentials import Pass, without_expectation
from orchestrator.egress.denials import Refusal, Refused
from orchestrator.egress.judge import Place
from orchestrator.egress.locate import Answered, Locate
from orchestrator.egress.pushes import BodyLost, judged_push
from orchestrator.egress.rules import Decision
from orchestrator.egress.upstream import Upstream, is_private, secure
from orchestrator.wire.bodies import Reader
from orchestrator.wire.exchange import ClientLost, Exchange, Outcome, Receiving, Sending, ServerLost
from orchestrator.wire.flows import SinkLost, SourceLost, tunnel
from orchestrator.wire.http1 import BadMessage, RequestHead, head_end, parse_request_head, serialise_request
from orchestrator.wire.loop import TimedOut, pause
from orchestrator.wire.wires import Wire

REUSE_S, REUSE_UNSAFE_S = 30.0, 3.0  # a server that closes an idle connection may do so just when a request is under way
_REPEATABLE = frozenset(["GET", "HEAD", "OPTIONS"])


class Session:
    """``spare``: a connection to the server that was dialled beforehand. ``tunnels``: a CONNECT ends the session, and is given back.

    ``asked``: there was a request.
    """

    def __init__(self, services: Services, client: Wire, locate: Locate, *, spare: Upstream | None = None, tunnels: bool = False) -> None:
        self._services = services
        self._client = client
        self._locate = locate
        self._tunnels = tunnels
        self._upstream = spare
        self.asked = False

    async def serve(self) -> RequestHead | None:
        """Serve until the connection ends, or a CONNECT comes: what follows it is no request."""
        try:
            while True:
                try:
                    head = await self._next_head()
                except BadMessage as problem:
                    self.asked = True
                    await self._refuse(Trace(began=time.monotonic()), Refusal(problem.status, "protocol", problem.reason))
                    return None
                if head is None or (self._tunnels and head.method == "CONNECT"):
                    return head
                self.asked = True
                if not await self._serve_one(head):
                    return None
        finally:
            self._drop()

    async def _next_head(self) -> RequestHead | None:
        """None: the client has nothing more to ask. Raises BadMessage."""
        client, deadlines = self._client, self._services.deadlines
        data, client.kept, seen = client.kept, b"", 0
        deadline = time.monotonic() + (deadlines.head if data else deadlines.idle)
        try:
            while True:
                if len(data) > seen and (end := head_end(data, seen)):
                    client.kept = data[end:]
                    return parse_request_head(data[:end])
                seen = len(data)
                piece = client.recv() if client.readable else None
                if piece == b"":
                    return None
                if piece is None:
                    await pause(deadline)
                    continue
                if not data:
                    deadline = time.monotonic() + deadlines.head
                data += piece
        except OSError:
            return None
        except TimedOut:
            if data:
                raise BadMessage(f"the head did not come within {deadlines.head:.0f} s", 408) from None
            return None

    async def _serve_one(self, head: RequestHead) -> bool:
        """Whether the connection can serve another request."""
        trace = Trace(head, began=time.monotonic())
        try:
            check_log(self._services)
            place = self._locate(head)
            if isinstance(place, Answered):
                await self._client.send_all(place.answer)
                await self._client.linger(self._services.deadlines.linger, LINGER_BYTES)
                return False
            trace.place = place
            decision = self._judged(head, place)
            trace.rule = decision.rule
            passed = self._services.vault.admit(head, place, self._services.phase)
            return await self._forward(trace, head, place, decision, passed)
        except BadMessage as problem:
            return await self._refuse(trace, Refusal(problem.status, "protocol", problem.reason))
        except (ClientLost, BodyLost, OSError, TimedOut):
            return False
        except Exception as problem:  # noqa: BLE001 - what cannot be judged is refused, whatever the reason
            return await self._refuse(trace, as_refusal(self._services, problem))
        finally:
            record_if_untold(self._services, trace)

    def _judged(self, head: RequestHead, place: Place) -> Decision:
        """Raises Refused. A stand-in on its way to a place that is not even allowed is noted, too."""
        try:
            return self._services.judge.request(head, place)
        except Refused:
            for name in self._services.vault.carried(head, self._services.phase):
                self._services.usage.credential(name, place.host.name, "refused")
            raise

    async def _refuse(self, trace: Trace, refusal: Refusal) -> bool:
        record(self._services, trace, refusal)
        if trace.begun:
            self._client.abort()  # half an answer is out; only a broken connection says that it is none
            return False
        head, stays = trace.head, False
        if head is not None and head.keep_alive and refusal.status in (403, 502):
            stays = head.body.kind == "none" or (head.body.kind == "length" and head.body.length <= len(self._client.kept))
            self._client.kept = self._client.kept[head.body.length :] if stays else b""
        await tell(self._services, self._client, refusal, trace, stays=stays)
        return stays

    # --- forwarding

    async def _forward(self, trace: Trace, head: RequestHead, place: Place, decision: Decision, passed: Pass) -> bool:
        held, reader = b"", None
        if passed.push:
            held, reader = await judged_push(self._client, head, place)
            head = without_expectation(head)
        sending = _sending(head, place, passed, held, reader)
        receiving = Receiving(
            head.minor, not head.keep_alive, self._services.deadlines.gone, passed.scrub, passed.body_filter
        )
        unused = passed.used
        while True:
            upstream = await self._reach(place, decision, head.method)
            for name in unused:
                self._services.usage.credential(name, place.host.name, "used")
            unused = ()
            try:
                outcome = await self._exchange(trace, upstream, sending, receiving)
                break
            except ServerLost as lost:
                self._drop()
                # A server may close an idle connection at any time: then it has not even seen the request.
                unseen = not (upstream.fresh or lost.heard or trace.begun)
                if not unseen or head.body.kind != "none" or head.method not in _REPEATABLE:
                    reason = f"{place.host.with_port(place.port)} failed: {lost.reason}"
                    return await self._refuse(trace, Refusal(502, "server", reason, place.host.name, place.port))
        if not outcome.server_stays:
            self._drop()
        if not outcome.whole:  # the client is still sending, and would lose its answer if we just closed
            await self._client.linger(self._services.deadlines.linger, LINGER_BYTES)
        return outcome.client_stays

    async def _exchange(self, trace: Trace, upstream: Upstream, sending: Sending, receiving: Receiving) -> Outcome:
        client, wire = self._client, upstream.wire
        out, came = wire.bytes_out, wire.bytes_in
        exchange = Exchange(self._services.loop, client, wire, sending, receiving)
        told_later = False
        try:
            outcome = await exchange.run()
            trace.status = outcome.status
            upstream.used_at = time.monotonic()
            if outcome.upgraded:
                await self._tunnel(wire)
            return outcome
        except ServerLost:
            told_later = True
            raise
        finally:
            trace.begun |= exchange.begun
            trace.bytes_out, trace.bytes_in, trace.address = wire.bytes_out - out, wire.bytes_in - came, str(upstream.address)
            if not told_later:
                record(self._services, trace, None)

    async def _tunnel(self, wire: Wire) -> None:
        try:
            await tunnel(self._services.loop, self._client, wire)
        except (SourceLost, SinkLost, TimedOut):
            self._client.abort()
            wire.abort()

    # --- connections to servers

    async def _reach(self, place: Place, decision: Decision, method: str) -> Upstream:
        """A connection for this request. Raises Refused."""
        key = (place.scheme, place.host.name, place.port, is_private(decision))
        known = self._upstream
        if known is not None and known.key == key and _still_good(known, method):
            known.fresh = False
            return known
        if known is None or known.key != ("connect", *key[1:]) or not _still_good(known, method):
            self._drop()
            known = self._upstream = await self._services.dialler.dial(place.scheme, place.host, place.port, decision)
        known.key = key
        if place.scheme == "https":
            await secure(known, self._services.loop, self._services.authorities(), place.host, place.port)
        return known

    def _drop(self) -> None:
        if self._upstream is not None:
            self._upstream.wire.close()
            self._upstream = None


def _sending(head: RequestHead, place: Place, passed: Pass, held: bytes, reader: Reader | None) -> Sending:
    first = serialise_request(
        head.method, place.target, place.host_header, passed.fields, head.body, expects=head.expects_continue, upgrade=head.upgrade
    )
    return Sending(first, head.body, head.method, head.upgrade, held, reader)


def _still_good(upstream: Upstream, method: str) -> bool:
    """Whether a connection that lay idle can take another request. What a server says unasked is an answer to nothing of ours."""
    wire = upstream.wire
    idle_s = time.monotonic() - upstream.used_at
    if wire.gone or wire.kept or idle_s > (REUSE_S if method in _REPEATABLE else REUSE_UNSAFE_S):
        return False
    try:
        return not wire.readable or wire.recv(1) is None
    except OSError:
        return False
