"""The server of bench/egress.py: as little work for each request as there can be, so that what is measured is what lies before it.

    python3 egress_origin.py PORT

``GET /small`` answers 100 bytes, ``GET /big/N`` N bytes, ``POST`` reads its body and answers with its length. A connection that begins
with a TLS record has that record taken off and goes on in plain text: a proxy sees a tunnel, and nobody pays for encryption.
Prints "ready" when it listens.
"""

import contextlib
import os
import selectors
import socket
import sys
import threading

CHUNK = 1 << 20
SMALL = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Type: text/plain\r\n\r\n" + b"x" * 100
BIG = memoryview(os.urandom(CHUNK))


class Connections:
    """Requests that fit one read are answered at once; what is larger goes to a thread of its own."""

    def __init__(self, port: int) -> None:
        self.selector = selectors.DefaultSelector()
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", port))
        listener.listen(512)
        self.selector.register(listener, selectors.EVENT_READ, None)

    def serve(self) -> None:
        while True:
            for key, _ in self.selector.select():
                if key.data is None:
                    self.accept(key.fileobj)  # type: ignore[arg-type]
                else:
                    self.answer(key.fileobj, key.data)  # type: ignore[arg-type]

    def accept(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.register(connection, selectors.EVENT_READ, bytearray())

    def answer(self, connection: socket.socket, buffer: bytearray) -> None:
        try:
            data = connection.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.forget(connection)
            connection.close()
            return
        buffer += data
        if buffer[0] == 0x16:
            length = 5 + int.from_bytes(buffer[3:5], "big") if len(buffer) >= 5 else len(buffer) + 1
            if len(buffer) < length:
                return
            del buffer[:length]
        while (end := buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(buffer[: end + 4])
            if not head.startswith(b"GET /small"):
                self.forget(connection)
                threading.Thread(target=large, args=(connection, head, bytes(buffer[end + 4 :])), daemon=True).start()
                return
            del buffer[: end + 4]
            with contextlib.suppress(OSError):
                connection.sendall(SMALL)

    def forget(self, connection: socket.socket) -> None:
        self.selector.unregister(connection)


def large(connection: socket.socket, head: bytes, rest: bytes) -> None:
    """One request with a large answer or a large body; then the connection ends."""
    with contextlib.suppress(OSError), connection:
        connection.setblocking(True)
        method, target, _ = head.split(b" ", 2)
        if method == b"GET":
            left = int(target.rpartition(b"/")[2])
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % left)
            while left:
                left -= connection.send(BIG[: min(left, CHUNK)])
        else:
            fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
            length, room = int(fields[b"content-length"]), bytearray(CHUNK)
            left = length - len(rest)
            while left and (count := connection.recv_into(room, min(left, CHUNK))):
                left -= count
            body = b"%d" % (length - left)
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass


if __name__ == "__main__":
    connections = Connections(int(sys.argv[1]))
    print("ready", flush=True)
    connections.serve()
