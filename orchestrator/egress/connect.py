"""CONNECT: a tunnel, and what has to be true of what goes through it.

With a rule for bare bytes everything passes. Otherwise the client speaks first, and what it says decides: TLS has to name the very host
that the tunnel is for; requests without TLS are judged one by one; where TLS is to be looked into, it ends here and begins anew.
"""

import time
from typing import Literal

from orchestrator.egress import clienthello
from orchestrator.egress.attempts import Services, Trace, as_refusal, check_log, record, record_if_untold, tell
from orchestrator.egress.clienthello import Hello
from orchestrator.egress.denials import Refusal, Refused, refused
from orchestrator.egress.hosts import BadHost, Host, canonical_host
from orchestrator.egress.locate import inside_tunnel
from orchestrator.egress.rules import Decision
from orchestrator.egress.session import Session
from orchestrator.egress.upstream import Upstream
from orchestrator.wire.flows import SinkLost, SourceLost, tunnel
from orchestrator.wire.http1 import BadMessage, RequestHead, parse_target, sniff
from orchestrator.wire.loop import TimedOut, pause
from orchestrator.wire.wires import Wire

_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_ACCESS_DENIED = bytes([21, 3, 1, 0, 2, 2, 49])  # a TLS alert, fatal
_PEEK_BYTES = clienthello.MAX_HELLO_BYTES + 32768

Words = Hello | Literal["http", "other", "broken-tls", "server", "nothing"]


async def connect(services: Services, client: Wire, head: RequestHead) -> None:
    """Serve one CONNECT until its end. The client's connection is over afterwards."""
    trace = Trace(head, scheme="connect", began=time.monotonic())
    try:
        refusal = await _refused_or_served(services, client, head, trace)
    finally:
        record_if_untold(services, trace)
    if refusal is not None:
        await tell(services, client, refusal, trace)


async def _refused_or_served(services: Services, client: Wire, head: RequestHead, trace: Trace) -> Refusal | None:
    """Serve; or the refusal, which is in the log already."""
    try:
        check_log(services)
        host, port, decision, raw = _judge(services, head, trace)
        if not raw and port != 80 and services.judge.inspects(host) and services.authorities().in_place_of(host) is None:
            reason = f"no certificate was made for {host.text}, whose requests are looked into"
            raise Refused(Refusal(403, "internal", reason, host.name, port))
        upstream = await services.dialler.dial("tcp" if raw else "connect", host, port, decision)
    except BadMessage as problem:
        refusal = Refusal(problem.status, "protocol", problem.reason)
    except (OSError, TimedOut):
        return None
    except Exception as problem:  # noqa: BLE001 - what cannot be judged is refused, whatever the reason
        refusal = as_refusal(services, problem)
    else:
        await _Tunnel(services, client, upstream, host, port, trace, raw).serve()
        return None
    record(services, trace, refusal)
    return refusal


def _judge(services: Services, head: RequestHead, trace: Trace) -> tuple[Host, int, Decision, bool]:
    """Where to, by which decision, and whether bare bytes may pass. Raises Refused, BadMessage."""
    if head.body.kind == "chunked" or head.body.length:
        raise BadMessage("a CONNECT with a body")
    host, port = services.judge.authority(parse_target(head, "authority").authority, None)
    trace.host, trace.port = host.name, port
    services.vault.check_target(head, host.name, port)
    decision, raw = services.judge.decide("connect", host, port), False
    if not decision.allowed:
        bare = services.judge.decide("tcp", host, port)
        if not bare.allowed:
            raise refused(decision, host.name, port)
        decision, raw = bare, True
    trace.rule = decision.rule
    return host, port, decision, raw


class _Tunnel:
    def __init__(self, services: Services, client: Wire, upstream: Upstream, host: Host, port: int, trace: Trace, raw: bool) -> None:
        self._services = services
        self._client = client
        self._upstream = upstream
        self._host = host
        self._port = port
        self._trace = trace
        self._raw = raw
        trace.address = str(upstream.address)
        upstream.used_at = time.monotonic()

    async def serve(self) -> None:
        try:
            await self._client.send_all(_ESTABLISHED)
            if self._raw:
                await self._pass_through("tcp")
            else:
                await self._by_first_words(await self._first_words())
        except (OSError, TimedOut):
            pass  # the client is gone
        except Exception as problem:  # noqa: BLE001 - what cannot be judged is refused, whatever the reason
            await self._refuse(as_refusal(self._services, problem))
        finally:
            self._upstream.wire.close()

    async def _by_first_words(self, words: Words) -> None:
        if isinstance(words, Hello):
            inspected = self._services.judge.inspects(self._host)
            problem = _tls_problem(words, self._host, hidden_is_fine=inspected)
            self._trace.sni = words.sni
            if problem is None:
                await (self._look_into() if inspected else self._pass_through("connect"))
            elif self._has_raw_rule():
                await self._pass_through("tcp")
            else:
                raise Refused(Refusal(403, *problem, self._host.name, self._port))
        elif words == "http" and self._port != 443:
            await self._requests("http", self._client)
        elif words == "nothing":
            record(self._services, self._trace, None)
        else:
            bare = self._services.judge.decide("tcp", self._host, self._port)
            # A mode that lets bytes pass does not mean TLS whose name cannot be read.
            if not bare.allowed or (words == "broken-tls" and bare.matched is None):
                raise Refused(self._not_tls(words))
            self._trace.rule = bare.rule
            await self._pass_through("tcp")

    async def _first_words(self) -> Words:
        """What the client says first, left where it is. Whoever waits for the server to speak first speaks neither TLS nor HTTP."""
        client, server = self._client, self._upstream.wire
        deadline = self._services.loop.in_seconds(self._services.deadlines.head)
        while True:
            data = client.kept + (client.peek(_PEEK_BYTES) or b"")
            kind = sniff(data)
            if kind in ("http", "other"):
                return "http" if kind == "http" else "other"
            if kind == "tls":
                hello = clienthello.parse(data)
                if isinstance(hello, Hello):
                    return hello
                if isinstance(hello, clienthello.NotTls):
                    return "broken-tls"
            begun: Words = "broken-tls" if kind == "tls" else "other"
            if client.gone:
                return begun if data else "nothing"
            if not data and server.readable and server.peek(1):
                return "server"
            if server.gone and not data:
                return "nothing"
            try:
                await pause(deadline)
            except TimedOut:
                return begun

    def _has_raw_rule(self) -> bool:
        """Whether the user has said that bytes may pass here unseen. A mode that lets much through has not."""
        bare = self._services.judge.decide("tcp", self._host, self._port)
        return bare.allowed and bare.matched is not None

    def _not_tls(self, words: Words) -> Refusal:
        where = self._host.with_port(self._port)
        kind = "not TLS" if words == "http" else "neither TLS nor HTTP"
        reason = f"what came for {where} is {kind}, so nobody can tell which host it is for"
        return Refusal(403, "not-tls", reason, self._host.name, self._port, f"--allow-host tcp://{where}", f'network: {{allow: ["tcp://{where}"]}}')

    async def _pass_through(self, scheme: str) -> None:
        client, server, trace = self._client, self._upstream.wire, self._trace
        trace.scheme = scheme
        try:
            await tunnel(self._services.loop, client, server)
        except (SourceLost, SinkLost, TimedOut):
            client.abort()
            server.abort()
        finally:
            trace.bytes_out, trace.bytes_in = server.bytes_out, server.bytes_in
            record(self._services, trace, None)

    async def _requests(self, scheme: Literal["http", "https"], client: Wire) -> None:
        locate = inside_tunnel(self._services.judge, scheme, self._host, self._port)
        session = Session(self._services, client, locate, spare=self._upstream)
        try:
            await session.serve()
        finally:
            self._trace.told |= session.asked  # each request has an event of its own

    async def _look_into(self) -> None:
        from orchestrator.egress.tls import TlsWire, problem_of

        context = self._services.authorities().in_place_of(self._host)
        if context is None or self._client.kept:
            reason = "the client speaks before the tunnel is open" if context else "there is no certificate for it"
            raise Refused(Refusal(403, "tls-client", f"{self._host.text}: {reason}", self._host.name, self._port))
        client = TlsWire(self._services.loop, self._client, context, None)
        try:
            try:
                await client.handshake(self._services.loop.in_seconds(self._services.deadlines.head))
            except (OSError, TimedOut) as problem:
                why = problem_of(problem) if isinstance(problem, OSError) else f"no TLS within {self._services.deadlines.head:.0f} s"
                reason = f"the client does not take this run's certificate for {self._host.text} ({why}); see docs/network.md"
                record(self._services, self._trace, Refusal(403, "tls-client", reason, self._host.name, self._port))
                return
            await self._requests("https", client)
        finally:
            client.close()

    async def _refuse(self, refusal: Refusal) -> None:
        """Nothing that would be understood can be said any more, except to a client that speaks TLS or HTTP."""
        record(self._services, self._trace, refusal)
        client = self._client
        try:
            if refusal.rule in ("tls-name", "ech", "tls-client"):
                await client.send_all(_ACCESS_DENIED, self._services.loop.in_seconds(1.0))
                await client.linger(1.0, 1 << 16)
            else:
                await tell(self._services, client, refusal, Trace())
        except (OSError, TimedOut):
            client.abort()


def _tls_problem(hello: Hello, host: Host, *, hidden_is_fine: bool) -> tuple[str, str] | None:
    """Rule and reason why TLS with this first message may not go to ``host``. ``hidden_is_fine``: it ends here, where nothing can hide."""
    if hello.ech and not hidden_is_fine:
        return "ech", f"TLS to {host.text} hides the name of the server (ECH); switch encrypted client hello off"
    if hello.sni is None:
        return None if host.address is not None else ("tls-name", f"TLS to {host.text} does not name its server (SNI)")
    try:
        if canonical_host(hello.sni) == host:
            return None
    except BadHost:
        pass
    return "tls-name", f"TLS in a tunnel to {host.text} is for another host ({hello.sni[:100]!a})"
