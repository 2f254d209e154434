"""One request and its answer between two wires: both directions at once, in any order, without waiting for either to be whole."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.wire.bodies import ChunkReader, CloseReader, Filter, LengthReader, Reader, chunk
from orchestrator.wire.flows import Flow, Recoded, SinkLost, SourceLost, Stream
from orchestrator.wire.http1 import (
    BadMessage,
    Body,
    Fields,
    ResponseHead,
    head_end,
    parse_response_head,
    serialise_response,
)
from orchestrator.wire.loop import FOREVER, Loop, TimedOut, pause
from orchestrator.wire.wires import Wire

_MAX_INTERIM = 100  # answers of 1xx before the real one


class ClientLost(Exception):
    """The client is gone, or sent a body that is none. Nobody is left to answer."""


class ServerLost(Exception):
    """The server broke off. ``answered``: it had begun to answer, and the client has seen that; ``heard``: it sent anything at all."""

    def __init__(self, reason: str, *, answered: bool, heard: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.answered = answered
        self.heard = heard


@dataclass(frozen=True, slots=True)
class Sending:
    """What goes to the server. ``head``: as bytes; ``body``: how it comes from the client, and goes on.

    ``held``: payload that was read and judged before; ``reader``: where it came from, the rest follows from there.
    """

    head: bytes
    body: Body
    method: str
    upgrade: bool
    held: bytes = b""
    reader: Reader | None = None


@dataclass(frozen=True, slots=True)
class Receiving:
    """How the answer goes to the client. ``minor``: its version of HTTP; ``last``: it wants no further request; ``gone_s``: for so long a
    silent server is waited for when the client has closed its side.

    ``scrub``: changes the fields of the answer, ``body_filter`` its body where that is not compressed.
    """

    minor: int
    last: bool
    gone_s: float
    scrub: Callable[[Fields], Fields] | None = None
    body_filter: Filter | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """``client_stays``, ``server_stays``: the connection can serve another request; ``upgraded``: both are a tunnel from now on.

    ``whole``: all of the request was sent on.
    """

    status: int
    client_stays: bool
    server_stays: bool
    whole: bool
    upgraded: bool = False


class Exchange:
    """Drives one request. ``begun``: something of a final answer has gone to the client."""

    def __init__(self, loop: Loop, client: Wire, server: Wire, sending: Sending, receiving: Receiving) -> None:
        self._loop = loop
        self._client = client
        self._server = server
        self._sending = sending
        self._receiving = receiving
        self._up: Flow | None = None
        self._down: Flow | None = None
        self._seen = 0  # so much of the server's next head was looked at
        self._refuses = False  # the server takes nothing more of the request
        self.begun = False

    async def run(self) -> Outcome:
        """Raises ClientLost, ServerLost."""
        try:
            await self._begin()
            head = await self._final_head()
            return await self._answer(head)
        finally:
            for flow in (self._up, self._down):
                if isinstance(flow, Stream):
                    flow.release()

    # --- the request

    async def _begin(self) -> None:
        sending, client = self._sending, self._client
        body = sending.body
        if body.kind == "chunked":
            reader = sending.reader or ChunkReader()
            try:
                self._up = Recoded(client, self._server, reader, sending.head + chunk(sending.held), chunked=True)
            except BadMessage:
                raise ClientLost from None
        elif body.kind == "length" and body.length:
            left = sending.reader.left if isinstance(sending.reader, LengthReader) else body.length
            first, client.kept = client.kept[:left], client.kept[left:]
            self._up = Stream(client, self._server, left - len(first), sending.head + sending.held + first)
        else:
            try:
                await self._server.send_all(sending.head)
            except OSError as problem:
                raise ServerLost(str(problem), answered=False, heard=False) from None

    def _push(self) -> bool:
        """Send on what there is of the request; True when there is more at once."""
        if self._up is None or self._up.done or self._refuses:
            return False
        try:
            return self._up.step()
        except SinkLost:
            self._refuses = True  # it may have answered before it closed
            return True
        except (SourceLost, BadMessage):
            raise ClientLost from None

    # --- the answer's head

    async def _final_head(self) -> ResponseHead:
        server, interim = self._server, 0
        while True:
            more = self._push()
            heads = self._heads()
            for head in heads:
                if head.status >= 200 or head.status == 101:
                    return head
                interim += 1
                if interim > _MAX_INTERIM:
                    raise ServerLost("the server sends interim answers without end", answered=False, heard=True)
                if self._receiving.minor:
                    await self._to_client(self._first(head, chunked=False, close=False))
            if more:
                await self._loop.breathe()
            elif not heads and not server.readable:
                await self._wait()

    def _heads(self) -> list[ResponseHead]:
        """The heads of answers that one read completes, up to the final one."""
        server, heads, seen = self._server, list[ResponseHead](), self._seen
        if not server.readable and not server.kept:
            return heads
        try:
            data = server.recv() if server.readable else None
        except OSError as problem:
            raise self._lost(str(problem)) from None
        if data == b"":
            raise self._lost("it closed the connection before it answered")
        server.kept += data or b""
        try:
            while end := head_end(server.kept, seen):
                seen = 0
                head = parse_response_head(server.kept[:end], self._sending.method)
                server.kept = server.kept[end:]
                heads.append(head)
                if head.status >= 200 or head.status == 101:
                    break
            self._seen = len(server.kept)
        except BadMessage as problem:
            raise ServerLost(f"its answer is no proper HTTP: {problem.reason}", answered=False, heard=True) from None
        return heads

    def _lost(self, reason: str) -> ServerLost:
        return ServerLost(reason, answered=self.begun, heard=bool(self._server.kept))

    async def _wait(self) -> None:
        """Until something happens; a client that is gone ends it."""
        client = self._client
        if client.broken:
            raise ClientLost
        waits = not client.gone or not (self._up is None or self._up.done or self._refuses)
        try:
            await pause(FOREVER if waits else time.monotonic() + self._receiving.gone_s)
        except TimedOut:
            raise ClientLost from None

    async def _to_client(self, data: bytes) -> None:
        try:
            await self._client.send_all(data)
        except OSError:
            raise ClientLost from None

    # --- the answer

    async def _answer(self, head: ResponseHead) -> Outcome:
        if head.status == 101:
            return await self._upgraded(head)
        server, body = self._server, head.body
        chunked = body.kind == "chunked" and self._receiving.minor == 1
        unframed = body.kind == "close" or (body.kind == "chunked" and not chunked)
        whole = self._up is None or self._up.done
        stays = not (self._receiving.last or unframed) and whole
        first = self._first(head, chunked=chunked, close=not stays)
        self.begun = True
        if body.kind == "none" or (body.kind == "length" and len(server.kept) >= body.length and self._receiving.body_filter is None):
            await self._to_client(first + server.kept[: body.length])
            server.kept = server.kept[body.length :]
        else:
            await self._body(head, first, chunked=chunked)
        whole = self._up is None or (self._up.done and not self._refuses)
        return Outcome(head.status, stays and whole, head.keep_alive and whole and not server.kept and body.kind != "close", whole)

    def _first(self, head: ResponseHead, *, chunked: bool, close: bool) -> bytes:
        """The head as the client gets it."""
        scrub = self._receiving.scrub
        if scrub is None:
            return serialise_response(head, head.reason, head.fields, chunked=chunked, close=close)
        (_, reason), *fields = scrub((("Reason", head.reason), *head.fields))
        return serialise_response(head, reason, fields, chunked=chunked, close=close)

    async def _body(self, head: ResponseHead, first: bytes, *, chunked: bool) -> None:
        server, client, body = self._server, self._client, head.body
        through = self._receiving.body_filter if _is_plain(head.fields) else None
        try:
            if body.kind == "chunked" or through is not None:
                reader: Reader = (
                    ChunkReader() if body.kind == "chunked" else CloseReader() if body.kind == "close" else LengthReader(body.length)
                )
                self._down = Recoded(server, client, reader, first, chunked=chunked, through=through)
            else:
                left = body.length if body.kind == "length" else None
                kept, server.kept = server.kept[:left], b"" if left is None else server.kept[left:]
                self._down = Stream(server, client, None if left is None else left - len(kept), first + kept)
            while not self._down.done:
                more = self._down.step()
                more |= self._push()
                if more:
                    await self._loop.breathe()
                elif not self._down.done:
                    await self._wait()
        except (SourceLost, BadMessage) as problem:
            raise ServerLost(f"it broke off: {problem}", answered=True, heard=True) from None
        except SinkLost:
            raise ClientLost from None

    async def _upgraded(self, head: ResponseHead) -> Outcome:
        if not (self._sending.upgrade and head.upgrade):
            raise ServerLost("it switches to a protocol that nobody asked for", answered=False, heard=True)
        self.begun = True
        await self._to_client(self._first(head, chunked=False, close=False))
        return Outcome(101, False, False, True, upgraded=True)


def _is_plain(fields: Fields) -> bool:
    """Whether a body can be read as it is."""
    return all(value.lower() == "identity" for name, value in fields if name.lower() == "content-encoding")
