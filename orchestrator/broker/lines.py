"""Lines of JSON over a socket, and the descriptors that come with them."""

import array
import contextlib
import os
import socket

MAX_LINE_BYTES = 4 << 20
MAX_DESCRIPTORS = 8


class Lines:
    """Reads the main process's lines. A descriptor that no line asks for is closed."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()
        self._descriptors: list[int] = []

    def next(self) -> bytes | None:
        """The next line; None at the end of the stream.

        Raises:
            ValueError: a line is too long.
            OSError: the socket fails.
        """
        if not self._buffer:
            self._close_all()  # whoever wanted them has had its line
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > MAX_LINE_BYTES:
                raise ValueError("a line is too long")
            data, ancillary, _, _ = self._sock.recvmsg(65536, socket.CMSG_SPACE(4 * MAX_DESCRIPTORS), socket.MSG_CMSG_CLOEXEC)
            self._descriptors += _descriptors_in(ancillary)
            if not data:
                self._close_all()
                return None
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def take_sockets(self, count: int) -> list[socket.socket]:
        """The sockets that came with the present line.

        Raises:
            ValueError: there are more or fewer, or something else than sockets.
        """
        if len(self._descriptors) != count:
            found = len(self._descriptors)
            self._close_all()
            raise ValueError(f"{found} descriptors came for {count} listeners")
        sockets: list[socket.socket] = []
        try:
            while self._descriptors:
                sockets.append(socket.socket(fileno=self._descriptors[0]))
                del self._descriptors[0]
        except OSError:
            for one in sockets:
                one.close()
            self._close_all()
            raise ValueError("a descriptor is no socket") from None
        return sockets

    def _close_all(self) -> None:
        for descriptor in self._descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._descriptors.clear()


def _descriptors_in(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return list(found)
