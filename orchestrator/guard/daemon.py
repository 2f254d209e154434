"""The engine's end: connections to it, and small calls of our own. On the guard's loop; every wait has a deadline."""

import errno
import json
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast
from urllib.parse import quote, urlencode

from orchestrator.guard.calls import Json, Object
from orchestrator.guard.strictjson import encode
from orchestrator.wire.bodies import reader_for
from orchestrator.wire.http1 import BadMessage, ResponseHead, head_end, parse_response_head
from orchestrator.wire.loop import Loop, TimedOut, pause
from orchestrator.wire.wires import Wire

CONNECT_S = 10.0
CALL_S = 60.0
MAX_ANSWER_BYTES = 64 << 20  # of JSON: a list of thousands of containers is a few
IDLE_S = 20.0  # a spare connection that lay longer is not used again
SPARES = 8


class DaemonLost(Exception):
    """The engine is gone, silent, or says what is no HTTP."""


@dataclass(frozen=True, slots=True)
class Address:
    """``path`` of a unix socket, or ``host`` and ``port``."""

    path: str | None
    host: str = ""
    port: int = 0


def parse_address(text: str) -> Address:
    """``unix:///run/docker.sock``, ``tcp://127.0.0.1:2375``.

    Raises:
        ValueError: anything else; the text is the whole reason.
    """
    scheme, _, rest = text.partition("://")
    if scheme == "unix" and rest.startswith("/"):
        return Address(rest)
    host, colon, port = rest.rstrip("/").rpartition(":")
    if scheme in ("tcp", "http") and colon and host and port.isdigit():
        return Address(None, host.strip("[]"), int(port))
    raise ValueError(f"{text!r} is no address of an engine that a guard can stand before: unix:///PATH, or tcp://HOST:PORT without TLS")


def target(version: tuple[int, int], path: str, query: Sequence[tuple[str, str]] = ()) -> str:
    """A request's target, escaped anew."""
    escaped = quote(path, safe="/:@")
    return f"/v{version[0]}.{version[1]}{escaped}" + (f"?{urlencode(query)}" if query else "")


def request_head(
    method: str,
    where: str,
    fields: Sequence[tuple[str, str]] = (),
    *,
    length: int | None = None,
    chunked: bool = False,
    upgrade: bool = False,
) -> bytes:
    lines = [f"{method} {where} HTTP/1.1\r\nHost: docker\r\n", *(f"{name}: {value}\r\n" for name, value in fields)]
    if chunked:
        lines.append("Transfer-Encoding: chunked\r\n")
    elif length is not None:
        lines.append(f"Content-Length: {length}\r\n")
    lines.append("Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n" if upgrade else "\r\n")
    return "".join(lines).encode("ascii")


class Daemon:
    """Connections to one engine. ``version``: spoken in calls of our own."""

    def __init__(self, loop: Loop, address: Address, version: tuple[int, int]) -> None:
        self._loop = loop
        self._address = address
        self.version = version
        self._spares: list[tuple[Wire, float]] = []

    async def dial(self) -> Wire:
        """A fresh connection of the current task's. Raises DaemonLost."""
        address = self._address
        family = socket.AF_UNIX if address.path is not None else socket.AF_INET6 if ":" in address.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        wire = None
        try:
            where = address.path if address.path is not None else (address.host, address.port)
            deadline = self._loop.in_seconds(CONNECT_S)
            while (begun := sock.connect_ex(where)) == errno.EAGAIN:  # a unix socket whose backlog is full
                if time.monotonic() > deadline:
                    raise DaemonLost("the engine takes no connection")
                await self._breathe()
            if begun not in (0, errno.EINPROGRESS):
                raise DaemonLost(f"the engine does not answer: {os.strerror(begun)}")
            wire = Wire(self._loop, sock)
            wire.writable = begun == 0
            while not wire.writable:
                await pause(deadline)
            if failed := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise DaemonLost(f"the engine does not answer: {os.strerror(failed)}")
        except TimedOut:
            _drop(wire, sock)
            raise DaemonLost(f"the engine does not answer within {CONNECT_S:.0f} s") from None
        except BaseException:  # the end of the task, too: no descriptor is left behind, and the reason goes on
            _drop(wire, sock)
            raise
        return wire

    async def _breathe(self) -> None:
        try:
            await pause(self._loop.in_seconds(0.05))
        except TimedOut:
            return

    def spare(self) -> Wire | None:
        """A connection that lay idle, for a request that may be sent again when it turns out to be dead."""
        while self._spares:
            wire, since = self._spares.pop()
            if time.monotonic() - since < IDLE_S and not wire.gone and not wire.kept and _silent(wire):
                wire.task = self._loop.current
                return wire
            wire.close()
        return None

    def keep(self, wire: Wire) -> None:
        """Give back a connection whose answer has been read whole."""
        if wire.closed or wire.gone or wire.kept or len(self._spares) >= SPARES:
            wire.close()
            return
        wire.task = None
        self._spares.append((wire, time.monotonic()))

    def close(self) -> None:
        while self._spares:
            self._spares.pop()[0].close()

    async def ask(
        self, method: str, path: str, query: Sequence[tuple[str, str]] = (), body: Object | None = None, deadline_s: float = CALL_S
    ) -> tuple[int, Json]:
        """One small call of our own: status and JSON (None: no body).

        Raises:
            DaemonLost
        """
        status, answer = await self.ask_lines(method, path, query, b"" if body is None else encode(body), deadline_s=deadline_s)
        return status, parse_answer(answer)

    async def ask_lines(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]] = (),
        data: bytes = b"",
        kind: str = "application/json",
        deadline_s: float = CALL_S,
    ) -> tuple[int, bytes]:
        """One call of our own: status and the answer's bytes, whole. Raises DaemonLost."""
        fields = (("Content-Type", kind),) if data else ()
        length = len(data) if method in ("POST", "PUT") else None
        head = request_head(method, target(self.version, path, query), fields, length=length)
        answered, answer = await self.exchange(method, head + data, repeatable=method == "GET", deadline_s=deadline_s)
        return answered.status, answer

    async def exchange(self, method: str, request: bytes, *, repeatable: bool, deadline_s: float = CALL_S) -> tuple[ResponseHead, bytes]:
        """Send a whole request, and read the whole answer. Raises DaemonLost."""
        deadline = self._loop.in_seconds(deadline_s)
        wire = self.spare() if repeatable else None
        if wire is not None:
            try:
                return await self._exchange(wire, method, request, deadline)
            except DaemonLost:
                wire.close()
        wire = await self.dial()
        return await self._exchange(wire, method, request, deadline)

    async def _exchange(self, wire: Wire, method: str, request: bytes, deadline: float) -> tuple[ResponseHead, bytes]:
        try:
            await wire.send_all(request, deadline)
            head = await read_head(wire, method, deadline)
            body = await read_body(wire, head, MAX_ANSWER_BYTES, deadline)
        except OSError as problem:
            wire.close()
            raise DaemonLost(f"the engine broke off: {problem.strerror or problem}") from None
        except TimedOut:
            wire.close()
            raise DaemonLost("the engine does not answer in time") from None
        except BaseException:  # the end of the task, too: the connection is in the middle of something
            wire.close()
            raise
        if head.keep_alive:
            self.keep(wire)
        else:
            wire.close()
        return head, body


async def read_head(wire: Wire, method: str, deadline: float) -> ResponseHead:
    """The final head (or 101). What comes behind it is kept in the wire. Raises DaemonLost, OSError, TimedOut."""
    seen = 0
    while True:
        try:
            while end := head_end(wire.kept, seen):
                head = parse_response_head(wire.kept[:end], method, "tcp")
                wire.kept, seen = wire.kept[end:], 0
                if head.status >= 200 or head.status == 101:
                    return head
        except BadMessage as problem:
            raise DaemonLost(f"the engine's answer is no proper HTTP: {problem.reason}") from None
        seen = len(wire.kept)
        data = await wire.receive(deadline)
        if not data:
            raise DaemonLost("the engine closed the connection before it answered")
        wire.kept += data


async def read_body(wire: Wire, head: ResponseHead, limit: int, deadline: float) -> bytes:
    """The whole body. Raises DaemonLost, OSError, TimedOut."""
    if head.body.kind == "none":
        return b""
    reader = reader_for(head.body)
    pieces = []
    count = 0
    data, wire.kept = wire.kept, b""
    try:
        while True:
            piece = reader.feed(data) if data else b""
            pieces.append(piece)
            count += len(piece)
            if count > limit:
                raise DaemonLost(f"the engine's answer is longer than {limit} bytes")
            if reader.done:
                wire.kept = reader.rest
                return b"".join(pieces)
            data = await wire.receive(deadline)
            if not data:
                reader.end()
                return b"".join(pieces)
    except BadMessage as problem:
        raise DaemonLost(f"the engine's answer is no proper HTTP: {problem.reason}") from None


def parse_answer(data: bytes) -> Json:
    """The engine's JSON, which is trusted to be some; None for nothing.

    Raises:
        DaemonLost: it is none.
    """
    if not data.strip():
        return None
    try:
        return cast(Json, json.loads(data))
    except ValueError:
        raise DaemonLost("the engine's answer is no JSON") from None


def _silent(wire: Wire) -> bool:
    """Whether nothing has come while nobody asked."""
    try:
        return not wire.readable or wire.recv(1) is None
    except OSError:
        return False


def _drop(wire: Wire | None, sock: socket.socket) -> None:
    if wire is not None:
        wire.close()
    else:
        sock.close()
