"""One end of a connection each: a socket that never blocks."""

import contextlib
import select
import socket
import struct
import time

from orchestrator.wire.loop import FOREVER, Loop, TimedOut, pause

PIECE_BYTES = 65536
_READABLE = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_WRITABLE = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR
_GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_BROKEN = select.EPOLLHUP | select.EPOLLERR
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Wire:
    """A TCP socket. ``readable`` and ``writable`` may be true too early, never too late. ``gone``: the other side sends nothing more,
    ``broken``: and takes nothing more.

    ``kept``: bytes that were read and belong to what comes next.
    """

    __slots__ = ("broken", "bytes_in", "bytes_out", "closed", "fd", "gone", "kept", "loop", "readable", "sock", "task", "writable")
    secure = False

    def __init__(self, loop: Loop, sock: socket.socket) -> None:
        self.loop = loop
        self.sock = sock
        self.fd = sock.fileno()
        self.task = loop.current
        self.readable = False
        self.writable = True
        self.gone = False
        self.broken = False
        self.closed = False
        self.kept = b""
        self.bytes_in = 0
        self.bytes_out = 0
        loop.watch(self.fd, self)

    def notice(self, events: int) -> None:
        if events & _READABLE:
            self.readable = True
            if events & _GONE:
                self.gone = True
                if events & _BROKEN:
                    self.broken = True
        if events & _WRITABLE:
            self.writable = True
        self.loop.schedule(self.task)

    def recv(self, count: int = PIECE_BYTES) -> bytes | None:
        """What is there: None for nothing yet, empty for the end. Raises OSError."""
        try:
            data = self.sock.recv(count)
        except BlockingIOError:
            self.readable = False
            return None
        self.bytes_in += len(data)
        if len(data) < count and not self.gone:
            self.readable = False  # drained: the next byte is an event
        return data

    def send(self, data: bytes | memoryview) -> int:
        """How many bytes were taken; 0 when none can be now. Raises OSError."""
        try:
            count = self.sock.send(data)
        except BlockingIOError:
            self.writable = False
            return 0
        self.bytes_out += count
        return count

    def peek(self, count: int) -> bytes | None:
        """What is there, and stays there. Raises OSError."""
        try:
            return self.sock.recv(count, socket.MSG_PEEK)
        except BlockingIOError:
            return None

    def shut_write(self) -> None:
        """Tell the other side that nothing more comes."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.loop.forget(self.fd)
            self.sock.close()

    def abort(self) -> None:
        """Close so that the other side sees that something broke off."""
        if not self.closed:
            with contextlib.suppress(OSError):
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.close()

    # --- waiting

    async def send_all(self, data: bytes, deadline: float = FOREVER) -> None:
        """Raises OSError; TimedOut."""
        count = self.send(data)
        if count == len(data):
            return
        view = memoryview(data)[count:]
        while view:
            if not self.writable:
                await pause(deadline)
            view = view[self.send(view) :]

    async def receive(self, deadline: float = FOREVER) -> bytes:
        """The next bytes; empty for the end. Raises OSError; TimedOut."""
        while True:
            if self.readable:
                data = self.recv()
                if data is not None:
                    return data
            else:
                await pause(deadline)

    async def linger(self, seconds: float, count: int) -> None:
        """Say that nothing more comes, and swallow what the other side still sends, so that it reads our last words. Bounded."""
        self.shut_write()
        deadline = time.monotonic() + seconds
        with contextlib.suppress(OSError, TimedOut):
            while count > 0:
                data = await self.receive(deadline)
                if not data:
                    return
                count -= len(data)
