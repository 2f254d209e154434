"""The foot in a network: makes sockets where it stands and hands them out. Nothing passes through it.

    python3 -I -S gate.py SOCKET-PATH

Standard library only. It runs in a container of its own, from the toolbox, for the networks of a guard's containers; and forked from
the launcher, in the network of a sandbox (``launcher.main``). A socket belongs to the network it was made in, whoever holds it.

Over a stream socket: first it says ``{"ready": true}``; then, one JSON line each,

    {"id": 1, "listen": ["127.0.0.1", 8080]}    ->  {"id": 1, "port": 8080}          and a listening socket; port 0: any free one
    {"id": 2, "dial": ["172.30.0.2", 5432]}     ->  {"id": 2}                        and a connected socket
                                                    {"id": 2, "error": "...", "errno": 111}    and none

with the socket attached to the answer's first byte. Answers come as they are found, so one that takes long holds no other up. It ends
when its connection does.
"""

import errno
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Collection
from typing import Any

BACKLOG = 128
DIAL_S = 5.0
DIALS_AT_ONCE = 256
MAX_LINE = 4096
CHUNK = 65536
ANY_ADDRESS, LOOPBACK = "0.0.0.0", "127.0.0.1"


class Refused(Exception):
    """What was asked for is not ours to do, or makes no sense."""


class Gate:
    """``listens``: addresses that it may listen on; ``dials``: whether it may connect to anything. ``lifeline``: it ends with that, too."""

    def __init__(self, sock: socket.socket, listens: Collection[str], *, dials: bool, lifeline: int | None = None) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._listens = listens
        self._dials = dials
        self._selector = selectors.DefaultSelector()
        self._selector.register(sock, selectors.EVENT_READ, "owner")
        if lifeline is not None:
            self._selector.register(lifeline, selectors.EVENT_READ, "lifeline")
        self._heard = bytearray()
        self._answers: deque[tuple[bytes, socket.socket | None]] = deque()
        self._dialling: dict[socket.socket, tuple[Any, float]] = {}  # -> id, deadline

    def serve(self) -> None:
        """Until the owner has gone, or says what cannot be understood."""
        self._answer({"ready": True}, None)
        try:
            while self._turn():
                self._give_up_late()
        finally:
            for sock in (*self._dialling, *(sock for _, sock in self._answers if sock is not None)):
                sock.close()
            self._selector.close()

    def _turn(self) -> bool:
        """False: the end."""
        for key, _ in self._selector.select(self._next_deadline()):
            if key.data == "lifeline" or (key.data == "owner" and not self._owner()):
                return False
            if key.data != "owner":
                self._connected(key.data)
        return True

    # --- the owner

    def _owner(self) -> bool:
        """False: gone."""
        try:
            self._flush()
            data = self._sock.recv(CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._heard += data
        while (end := self._heard.find(b"\n")) >= 0:
            line = bytes(self._heard[:end])
            del self._heard[: end + 1]
            try:
                request = json.loads(line)
            except (ValueError, RecursionError):
                return False
            if not isinstance(request, dict):
                return False
            self._obey(request)
        return bool(data) and len(self._heard) <= MAX_LINE

    def _obey(self, request: "dict[str, Any]") -> None:
        number = request.get("id")
        try:
            if "listen" in request:
                sock = self._listening(*_place(request["listen"]))
                self._answer({"id": number, "port": sock.getsockname()[1]}, sock)
            elif "dial" in request:
                self._dial(number, *_place(request["dial"]))
            else:
                raise Refused("neither listen nor dial")
        except OSError as problem:
            self._fail(number, problem.errno or 0)
        except Refused as problem:
            self._answer({"id": number, "error": str(problem), "errno": errno.EINVAL}, None)

    def _answer(self, answer: "dict[str, Any]", sock: "socket.socket | None") -> None:
        self._answers.append((json.dumps(answer).encode() + b"\n", sock))
        try:
            self._flush()
        except OSError:
            self._answers.clear()  # the end of the connection is the next thing that we read

    def _fail(self, number: "Any", code: int) -> None:
        self._answer({"id": number, "error": os.strerror(code) if code else "failed", "errno": code}, None)

    def _flush(self) -> None:
        try:
            while self._answers:
                data, sock = self._answers[0]
                count = self._sock.send(data) if sock is None else socket.send_fds(self._sock, [data], [sock.fileno()])
                self._answers.popleft()
                if sock is not None:
                    sock.close()
                if data[count:]:
                    self._answers.appendleft((data[count:], None))
            wanted = selectors.EVENT_READ
        except BlockingIOError:
            wanted = selectors.EVENT_READ | selectors.EVENT_WRITE
        self._selector.modify(self._sock, wanted, "owner")

    # --- sockets

    def _listening(self, host: str, port: int) -> socket.socket:
        if host not in self._listens:
            raise Refused(f"nothing listens on {host!r} here")
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            # Connections of an earlier listener may still be dying; two that listen on one port are refused all the same.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            sock.listen(BACKLOG)
        except OSError:
            sock.close()
            raise
        return sock

    def _dial(self, number: "Any", host: str, port: int) -> None:
        if not self._dials or port == 0:
            raise Refused("nothing is dialled from here" if not self._dials else "port 0 cannot be dialled")
        if len(self._dialling) >= DIALS_AT_ONCE:
            raise OSError(errno.EAGAIN, "")
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        code = sock.connect_ex((host, port))
        if code == errno.EINPROGRESS:
            self._dialling[sock] = (number, time.monotonic() + DIAL_S)
            self._selector.register(sock, selectors.EVENT_WRITE, sock)
        elif code:
            sock.close()
            self._fail(number, code)
        else:
            self._answer({"id": number}, sock)

    def _connected(self, sock: socket.socket) -> None:
        number, _ = self._dialling.pop(sock)
        self._selector.unregister(sock)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            sock.close()
            self._fail(number, code)
        else:
            self._answer({"id": number}, sock)

    def _next_deadline(self) -> "float | None":
        if not self._dialling:
            return None
        return max(0.0, min(deadline for _, deadline in self._dialling.values()) - time.monotonic())

    def _give_up_late(self) -> None:
        now = time.monotonic()
        for sock, (number, deadline) in list(self._dialling.items()):
            if deadline <= now:
                del self._dialling[sock]
                self._selector.unregister(sock)
                sock.close()
                self._fail(number, errno.ETIMEDOUT)


def _place(value: object) -> "tuple[str, int]":
    """An IPv4 address in its one form, and a port. A name would be looked up, and hold everything up."""
    if not isinstance(value, list) or len(value) != 2:
        raise Refused("an address and a port are needed")
    host, port = value
    if type(host) is not str or type(port) is not int or not 0 <= port <= 65535:
        raise Refused("an address and a port are needed")
    try:
        if socket.inet_ntoa(socket.inet_pton(socket.AF_INET, host)) != host:
            raise OSError
    except (OSError, ValueError):
        raise Refused(f"{host!r} is no IPv4 address") from None
    return host, port


def main(path: str) -> None:
    """As a container's only process."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # to pid 1 a signal without a handler does nothing
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(path)
        Gate(sock, (ANY_ADDRESS, LOOPBACK), dials=True).serve()


if __name__ == "__main__":
    main(sys.argv[1])
