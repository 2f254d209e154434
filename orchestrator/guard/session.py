"""One client's connection: requests in, one after the other, each decided, each answered.

Parse, find what is named, decide, act, answer; what fails to be judged is refused. Bytes of a client go on only as the stream of a call
that was allowed, and as a tunnel only after the daemon has switched to one.
"""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace

from orchestrator.guard import answers, uploads
from orchestrator.guard.calls import Build, Decision, Denial, Denied, Forward, Json, Known, Load, Object, Pull, Reply, StartExec, deny
from orchestrator.guard.daemon import DaemonLost, parse_answer, read_body, read_head, request_head, target
from orchestrator.guard.decide import IMAGE_RULE, Call, decide, image_asked, references, route_call
from orchestrator.guard.effects import Effects
from orchestrator.guard.infos import ping_headers
from orchestrator.guard.putfiles import PlainFiles
from orchestrator.guard.services import Services, said
from orchestrator.guard.strictjson import encode, parse
from orchestrator.guard.target import parse_target
from orchestrator.wire.bodies import LAST_CHUNK, ChunkReader, LengthReader, Reader, chunk, reader_for
from orchestrator.wire.flows import Recoded, SinkLost, SourceLost, Stream, tunnel
from orchestrator.wire.http1 import BadMessage, RequestHead, ResponseHead, head_end, parse_request_head
from orchestrator.wire.loop import FOREVER, TimedOut, pause
from orchestrator.wire.wires import Wire

IDLE_S = 600.0  # between requests; a client dials again
HEAD_S, BODY_S = 20.0, 60.0
MAX_BODY_BYTES = 1 << 20
GONE_S = 5.0  # a client that has closed its side may still read its answer
LINGER_S, LINGER_BYTES = 1.0, 4 << 20
STREAM_LINGER_S, STREAM_LINGER_BYTES = 15.0, 1 << 30
MAX_REFERENCES = 200
BUILD_TURN_S = 3600.0
UPGRADED_S = 60.0  # for the daemon to say that it switches
TYPES = {
    "json": ("application/json",),
    "stream": ("", "application/x-tar", "text/plain", "application/octet-stream", "application/tar", "application/json"),
    "empty": ("", "application/json", "text/plain", "application/octet-stream", "application/x-tar"),
    "none": ("", "application/json", "text/plain", "application/octet-stream", "application/x-tar"),
}
RAW_STREAMS = ("application/vnd.docker.raw-stream", "application/vnd.docker.multiplexed-stream")
KEPT_FIELDS = ("content-type", "x-docker-container-path-stat", "docker-experimental", "ostype", "cache-control", "pragma")


class ClientGone(Exception):
    """Nobody is left to answer."""


class ClientSession:
    def __init__(self, services: Services, client: Wire) -> None:
        self._services = services
        self._client = client
        self._effects = Effects(services)
        self._begun = False  # something of the present answer is out

    async def serve(self) -> None:
        """Until the connection ends."""
        try:
            while True:
                try:
                    head = await self._next_head()
                except BadMessage as problem:
                    await self._refuse(None, Denial("http", problem.reason, status=400), "")
                    return
                if head is None or not await self._serve_one(head):
                    return
        except (ClientGone, OSError):
            return

    async def _next_head(self) -> RequestHead | None:
        """None: nothing more comes. Raises BadMessage."""
        client = self._client
        data, client.kept, seen = client.kept, b"", 0
        deadline = time.monotonic() + (HEAD_S if data else IDLE_S)
        try:
            while True:
                if len(data) > seen and (end := head_end(data, seen)):
                    client.kept = data[end:]
                    return parse_request_head(data[:end], "tcp")
                seen = len(data)
                piece = client.recv() if client.readable else None
                if piece == b"":
                    return None
                if piece is None:
                    await pause(deadline)
                    continue
                if not data:
                    deadline = time.monotonic() + HEAD_S
                data += piece
        except TimedOut:
            if data:
                raise BadMessage(f"the head did not come within {HEAD_S:.0f} s", 408) from None
            return None

    async def _serve_one(self, head: RequestHead) -> bool:
        """Whether the connection can serve another request."""
        self._begun = False
        asked = f"{head.method} {head.target[:200]}"
        call: Call | None = None
        try:
            self._services.check_log()
            call = route_call(head.method, parse_target(head.target), self._services.session)
            asked = f"{call.route.method} {call.route.template}"
            _judge_type(head, call)
            call = replace(call, body=await self._body(head, call))
            await self._services.prepare(call)
            named = references(call)
            if len(named) > MAX_REFERENCES:
                raise deny("body.references", f"more than {MAX_REFERENCES} things are named", status=413)
            known = await self._services.find(call, named)
            decision = await self._decided(call, known)
            self._services.allowed(call.route.id, asked)
            if isinstance(decision, Reply):
                return await self._answer(head, decision.status, decision.body)
            return await self._act(head, call, decision)
        except Denied as denied:
            return await self._refuse(head, denied.denial, asked)
        except BadMessage as problem:
            return await self._refuse(head, Denial("http", problem.reason, status=problem.status), asked)
        except DaemonLost as lost:
            return await self._refuse(head, Denial("daemon", str(lost), status=502), asked)
        except TimedOut:
            return await self._refuse(head, Denial("http", "the request did not come in time", status=408), asked)
        except (ClientGone, OSError, SourceLost, SinkLost):
            return False
        except Exception as problem:  # noqa: BLE001 - what cannot be judged is refused, whatever the reason
            self._services.failed(problem)
            return await self._refuse(head, Denial("internal", "the guard could not judge this", status=500), asked)

    async def _decided(self, call: Call, known: Known) -> Decision:
        """Raises Denied. In a learning session an image that the user could allow is let through, and noted."""
        try:
            return decide(call, known, self._services.state())
        except Denied as denied:
            if denied.denial.rule != IMAGE_RULE or not await self._services.learn_image(image_asked(call), denied.denial.rule):
                raise
            return decide(call, await self._services.find(call, references(call)), self._services.state())

    # --- bodies that are judged

    async def _body(self, head: RequestHead, call: Call) -> Object | None:
        kind = call.route.body
        if kind == "stream":
            return None
        data = await self._small_body(head)
        if kind == "none":
            if data:
                raise deny("body.unexpected", f"{head.method} {call.route.template} has no body", status=400)
            return None
        body = parse(data) if data.strip() not in (b"", b"null") else {}
        assert isinstance(body, dict)
        if kind == "empty" and body:
            raise deny("body.unexpected", f"{call.route.template} takes no body", field=next(iter(body)), status=400)
        return body

    async def _small_body(self, head: RequestHead) -> bytes:
        """Raises Denied, BadMessage."""
        if head.body.kind == "none" or (head.body.kind == "length" and not head.body.length):
            return b""
        if head.body.kind == "length" and head.body.length > MAX_BODY_BYTES:
            raise _too_large()
        await self._go_on(head)
        reader: Reader = ChunkReader(plain=True) if head.body.kind == "chunked" else LengthReader(head.body.length)
        pieces, count, deadline = list[bytes](), 0, time.monotonic() + BODY_S
        data, self._client.kept = self._client.kept, b""
        while True:
            piece = reader.feed(data) if data else b""
            pieces.append(piece)
            count += len(piece)
            if count > MAX_BODY_BYTES:
                raise _too_large()
            if reader.done:
                self._client.kept = reader.rest
                return b"".join(pieces)
            data = await self._client.receive(deadline)
            if not data:
                raise ClientGone

    async def _go_on(self, head: RequestHead) -> None:
        if head.expects_continue:
            await self._client.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")

    # --- acting

    async def _act(self, head: RequestHead, call: Call, forward: Forward) -> bool:
        if forward.answer == "ping":
            return await self._ping(head)
        if forward.answer == "hijack":
            return await self._hijack(head, call, forward)
        if isinstance(forward.effect, Build | Load):
            return await self._judged_upload(head, call, forward)
        if forward.answer in ("stream", "events", "progress") or forward.upload or forward.method == "HEAD":
            return await self._stream(head, call, forward)
        status, body, fields = await self._effects.perform(call, forward)
        return await self._answer(head, status, body, fields)

    async def _ping(self, head: RequestHead) -> bool:
        """Clients read from its fields which version and which builder to use."""
        daemon = self._services.daemon
        reply, body = await daemon.exchange("GET", request_head("GET", "/_ping"), repeatable=True)
        fields = "".join(f"{name}: {value}\r\n" for name, value in ping_headers(reply.fields, self._services.view()))
        first = f"HTTP/1.1 {reply.status} OK\r\n{fields}Content-Length: {len(body)}\r\n"
        ends = "\r\n" if head.keep_alive else "Connection: close\r\n\r\n"
        await self._client.send_all((first + ends).encode("latin-1") + (b"" if head.method == "HEAD" else body))
        return head.keep_alive

    async def _stream(self, head: RequestHead, call: Call, forward: Forward) -> bool:
        """Bytes as they come, one way or the other; the kernel moves them where it can."""
        server = await self._services.daemon.dial()
        try:
            if forward.upload:
                return await self._upload(head, call, forward, server)
            await server.send_all(self._request(call, forward, length=0 if forward.method in ("POST", "PUT") else None))
            reply = await self._reply(server, forward.method)
            if reply.status >= 400:
                return await self._refused(head, server, reply)
            if isinstance(forward.effect, Pull):
                return await self._progress(head, forward, server, reply)
            return await self._download(head, forward, server, reply)
        finally:
            server.close()

    def _request(self, call: Call, forward: Forward, *, length: int | None = None, chunked: bool = False) -> bytes:
        where = target(call.version, forward.path, forward.query)
        fields = (*forward.headers, *((("Content-Type", "application/x-tar"),) if forward.upload else ()))
        return request_head(forward.method, where, fields, length=length, chunked=chunked)

    async def _reply(self, server: Wire, method: str) -> ResponseHead:
        """As long as it takes: a client that leaves ends the waiting, and with it what the daemon is doing."""
        while not server.readable:
            if self._client.broken or self._client.gone:
                raise ClientGone
            await pause(FOREVER)
        return await read_head(server, method, time.monotonic() + BODY_S)

    async def _download(self, head: RequestHead, forward: Forward, server: Wire, reply: ResponseHead) -> bool:
        framed = reply.body.kind in ("none", "length")
        chunked = not framed and head.minor == 1
        first = self._first(reply, chunked=chunked, close=not (framed or chunked))
        through = answers.stream_filter(forward.answer, self._services.view)
        self._begun = True
        if reply.body.kind == "none":
            await self._client.send_all(first)
            return head.keep_alive
        flow: Stream | Recoded
        if framed:
            kept, server.kept = server.kept[: reply.body.length], b""
            flow = Stream(server, self._client, reply.body.length - len(kept), first + kept)
        else:
            flow = Recoded(server, self._client, reader_for(reply.body), first, chunked=chunked, through=through)
        try:
            while not flow.done:
                if flow.step():
                    await self._services.loop.breathe()
                elif not flow.done:
                    if self._client.broken or self._client.gone:
                        await self._last_words(flow)
                        raise ClientGone
                    await pause(FOREVER)
        finally:
            flow.release()
        return head.keep_alive and (framed or chunked)

    async def _last_words(self, flow: Stream | Recoded) -> None:
        """A client that has closed its side may still read: what comes soon is passed on."""
        deadline = time.monotonic() + GONE_S
        with contextlib.suppress(TimedOut):
            while not flow.done and not self._client.broken:
                if not flow.step() and not flow.done:
                    await pause(deadline)

    async def _upload(self, head: RequestHead, call: Call, forward: Forward, server: Wire) -> bool:
        """A tar into a container. Where it mounts the project, only what may lie there."""
        await self._go_on(head)
        judged = PlainFiles() if self._services.mounts_project(forward) else None
        body, loop = head.body, self._services.loop
        chunked = judged is not None or body.kind == "chunked"
        await server.send_all(self._request(call, forward, length=None if chunked else body.length, chunked=chunked))
        whole = True
        if judged is None and not chunked:
            first, self._client.kept = self._client.kept[: body.length], self._client.kept[body.length :]
            whole = await self._push(Stream(self._client, server, body.length - len(first), first), server)
        else:
            async for piece in uploads.Body(self._client, head):
                data = piece if judged is None else judged.feed(piece)
                if data and not await uploads.send(server, chunk(data), loop):
                    whole = False
                    break
                await loop.breathe()
            if whole:
                rest = b"" if judged is None else judged.finish()
                await uploads.send(server, chunk(rest) + LAST_CHUNK, loop)
        reply = await self._reply(server, forward.method)
        if reply.status >= 400:
            return await self._refused(head, server, reply)
        data = await read_body(server, reply, MAX_BODY_BYTES, time.monotonic() + BODY_S)
        stays = await self._answer(head, reply.status, parse_answer(data))
        if not whole:
            await self._client.linger(STREAM_LINGER_S, STREAM_LINGER_BYTES)
        return stays and whole

    async def _push(self, flow: Stream, server: Wire) -> bool:
        """Whether all of it went; the daemon may answer before."""
        try:
            while not flow.done:
                if flow.step():
                    await self._services.loop.breathe()
                elif server.readable:
                    return False
                elif not flow.done:
                    await pause(FOREVER)
        except SinkLost:
            return False
        finally:
            flow.release()
        return True

    async def _refused(self, head: RequestHead, server: Wire, reply: ResponseHead) -> bool:
        """What the engine says against it, without what is the engine's alone."""
        data = await read_body(server, reply, MAX_BODY_BYTES, time.monotonic() + BODY_S)
        message = answers.scrub(said(parse_answer(data)) or "the engine refused this", self._services.view())
        return await self._answer(head, reply.status, {"message": message})

    async def _judged_upload(self, head: RequestHead, call: Call, forward: Forward) -> bool:
        """A build context, or images: on its way while it is judged, its end held back until it has been."""
        assert isinstance(forward.effect, Build | Load)
        await self._go_on(head)
        async with self._services.build_turn.taken(BUILD_TURN_S):  # a build's limits are the session's
            server = await self._services.daemon.dial()
            try:
                await server.send_all(self._request(call, replace(forward, upload=True), chunked=True))
                await self._pass_on(head, server, uploads.Upload(self._services, forward.effect))
                return await self._progress(head, forward, server, await self._reply(server, "POST"))
            finally:
                server.close()  # without the end of the upload nothing of it begins

    async def _pass_on(self, head: RequestHead, server: Wire, upload: uploads.Upload) -> None:
        """Raises Denied."""
        loop = self._services.loop
        hears = True
        async for piece in uploads.Body(self._client, head):
            for _ in upload.feed(piece):
                if upload.out.size >= uploads.DRAIN_BYTES:
                    hears = hears and await uploads.send(server, chunk(upload.out.take()), loop)
                    await loop.breathe()
            if not hears:
                return  # it refuses, and says why
        rest = await upload.finish()
        await uploads.send(server, chunk(upload.out.take() + rest) + LAST_CHUNK, loop)

    async def _progress(self, head: RequestHead, forward: Forward, server: Wire, reply: ResponseHead) -> bool:
        """Lines of JSON about something that gets made. The last chunk waits until we know what it was: the client may use it at once."""
        if reply.status >= 400:
            return await self._refused(head, server, reply)
        chunked = head.minor == 1
        seen = uploads.Observer()
        await self._client.send_all(self._first(reply, chunked=chunked, close=not chunked))
        self._begun = True
        reader = reader_for(reply.body)
        data, server.kept = server.kept, b""
        try:
            while not reader.done:
                payload = reader.feed(data) if data else b""
                seen.see(payload)
                if payload:
                    await self._client.send_all(chunk(payload) if chunked else payload)
                if reader.done:
                    break
                data = await self._from_server(server)
                if not data:
                    reader.end()
        except BaseException:  # a client that left may have left behind something that is whole; the reason goes on
            self._services.in_background(self._effects.made(forward, reply.status, seen))
            raise
        await self._effects.made(forward, reply.status, seen)
        if chunked:
            await self._client.send_all(LAST_CHUNK)
        return chunked and head.keep_alive

    async def _from_server(self, server: Wire) -> bytes:
        """The next bytes; a client that leaves ends the waiting, and with it what the daemon is doing."""
        while True:
            if server.readable:
                data = server.recv()
                if data is not None:
                    return data
            elif self._client.gone or self._client.broken:
                raise ClientGone
            else:
                await pause(FOREVER)

    async def _hijack(self, head: RequestHead, call: Call, forward: Forward) -> bool:
        """A terminal or a stream of a process. What the client sends before the daemon has switched waits in the socket."""
        body = b"" if forward.body is None else encode(forward.body)
        fields = (("Content-Type", "application/json" if forward.body is not None else "text/plain"),)
        server = await self._services.daemon.dial()
        command = forward.effect.id if isinstance(forward.effect, StartExec) else None
        if command is not None:
            self._services.registry.running.add(command)
        try:
            where = target(call.version, forward.path, forward.query)
            await server.send_all(request_head("POST", where, fields, length=len(body), upgrade=head.upgrade) + body)
            reply = await read_head(server, "POST", time.monotonic() + UPGRADED_S)
            raw = reply.status == 200 and reply.body.kind == "close" and _type_of(reply.fields) in RAW_STREAMS
            if not (raw or (reply.status == 101 and head.upgrade)):
                return await self._progress(head, forward, server, reply)
            self._begun = True
            await self._client.send_all(_switched(reply))
            await tunnel(self._services.loop, self._client, server, FOREVER)
        except (SourceLost, SinkLost, TimedOut):
            if not self._begun:
                raise DaemonLost("the engine did not answer") from None
        finally:
            server.close()
            if command is not None:
                self._services.in_background(self._services.look_at_exec(command))
        return False

    # --- answering

    async def _answer(self, head: RequestHead, status: int, body: Json, fields: Sequence[tuple[str, str]] = ()) -> bool:
        none = status in (204, 304) or (body is None and status < 400)
        data = b"" if none else encode(body)
        stays = head.keep_alive
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}\r\n", *(f"{name}: {value}\r\n" for name, value in fields)]
        if not none:
            lines.append("Content-Type: application/json\r\n")
        if status not in (204, 304):
            lines.append(f"Content-Length: {len(data)}\r\n")
        lines.append("\r\n" if stays else "Connection: close\r\n\r\n")
        await self._client.send_all("".join(lines).encode("latin-1") + (b"" if head.method == "HEAD" else data))
        return stays

    async def _refuse(self, head: RequestHead | None, denial: Denial, asked: str) -> bool:
        self._services.denied(denial, asked)
        if self._begun:
            self._client.abort()  # half an answer is out; only a broken connection says that it is none
            return False
        message = denial.reason if denial.rule in ("missing", "target.version") else denial.message
        data = encode({"message": message})
        unread = head is None or head.body.kind == "chunked" or head.body.length > len(self._client.kept)
        reason = _REASONS.get(denial.status, "Refused")
        lines = f"HTTP/1.1 {denial.status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        silent = head is not None and head.method == "HEAD"
        stays = head is not None and head.keep_alive and head.body.kind == "none" and not head.upgrade
        ends = "\r\n" if stays else "Connection: close\r\n\r\n"
        await self._client.send_all((lines + ends).encode("latin-1") + (b"" if silent else data))
        if not stays and unread:  # a client that sends a large context reads its answer after that
            stream = head is not None and head.body.kind == "chunked"
            await self._client.linger(STREAM_LINGER_S if stream else LINGER_S, STREAM_LINGER_BYTES if stream else LINGER_BYTES)
        return stays

    def _first(self, reply: ResponseHead, *, chunked: bool, close: bool) -> bytes:
        kept = "".join(f"{name}: {value}\r\n" for name, value in reply.fields if name.lower() in KEPT_FIELDS)
        length = f"Content-Length: {reply.length}\r\n" if reply.length is not None and not chunked else ""
        framing = "Transfer-Encoding: chunked\r\n" if chunked else length
        ends = "Connection: close\r\n" if close else ""
        return f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, 'Status')}\r\n{kept}{framing}{ends}\r\n".encode("latin-1")


_REASONS = {
    101: "UPGRADED", 200: "OK", 201: "Created", 204: "No Content", 304: "Not Modified", 400: "Bad Request", 403: "Forbidden",
    404: "Not Found", 408: "Request Timeout", 409: "Conflict", 413: "Content Too Large", 500: "Internal Server Error",
    501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
}  # fmt: skip


def _judge_type(head: RequestHead, call: Call) -> None:
    """A form's fields would beat the query in the daemon; whatever else it might read in another way has no business here either."""
    kind, _, parameters = _type_of(head.fields).partition(";")
    allowed = TYPES["empty" if call.route.body == "json" and head.body.length == 0 and head.body.kind != "chunked" else call.route.body]
    if kind.strip() not in allowed or (parameters.strip() and parameters.strip() not in ("charset=utf-8", 'charset="utf-8"')):
        raise deny("body.type", f"content type {kind.strip()[:80]!r}", allowed=", ".join(one for one in allowed if one), status=400)
    if any(name.lower() == "content-encoding" and value.lower() != "identity" for name, value in head.fields):
        raise deny("body.encoding", "a body with a content encoding", allowed="none", status=400)


def _type_of(fields: Sequence[tuple[str, str]]) -> str:
    found = [value for name, value in fields if name.lower() == "content-type"]
    if len(found) > 1:
        raise deny("body.type", "several content types", status=400)
    return found[0].lower() if found else ""


def _too_large() -> Denied:
    return deny("body.size", f"the body is longer than {MAX_BODY_BYTES} bytes", status=413)


def _switched(reply: ResponseHead) -> bytes:
    kind = _type_of(reply.fields) or RAW_STREAMS[0]
    if reply.status == 101:
        return f"HTTP/1.1 101 UPGRADED\r\nContent-Type: {kind}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode("latin-1")
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode("latin-1")

