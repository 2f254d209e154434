"""For ssh's ProxyCommand, inside: standard input and output to HOST PORT, through the proxy.

    python3 -I -S connect.py PROXY-PORT HOST PORT

Standard library only. What the proxy answers to a refused host goes to standard error, so that the one who reads it learns what
would allow it.
"""

import os
import selectors
import socket
import sys

CHUNK = 65536
MAX_HEAD = 65536
CONNECT_S = 60.0


def main(proxy: str, host: str, port: str) -> int:
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        with socket.create_connection(("127.0.0.1", int(proxy)), CONNECT_S) as sock:
            sock.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
            head, rest = _answer(sock)
            if head.split(b" ")[1:2] != [b"200"]:
                sys.stderr.buffer.write(head + b"\n" + _to_the_end(sock, rest) + b"\n")
                return 1
            sock.settimeout(None)
            _write(rest)
            _copy(sock)
    except OSError as problem:
        sys.stderr.write(f"{target} could not be reached: {problem}\n")
        return 1
    return 0


def _answer(sock: socket.socket) -> tuple[bytes, bytes]:
    """The head of the proxy's answer, and what came after it."""
    data = b""
    while b"\r\n\r\n" not in data and len(data) < MAX_HEAD:
        more = sock.recv(CHUNK)
        if not more:
            break
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _to_the_end(sock: socket.socket, data: bytes) -> bytes:
    """The answer's body, as far as it comes at once: the proxy may leave the connection open."""
    sock.settimeout(1.0)
    try:
        while len(data) < MAX_HEAD and (more := sock.recv(CHUNK)):
            data += more
    except TimeoutError:
        pass
    return data


def _copy(sock: socket.socket) -> None:
    """Both ways, each at the pace of its reader, until the far side has ended."""
    selector = selectors.DefaultSelector()
    selector.register(sock, selectors.EVENT_READ)
    selector.register(0, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            data = os.read(key.fd, CHUNK)
            if key.fd == 0 and data:
                sock.sendall(data)
            elif key.fd == 0:
                selector.unregister(0)
                sock.shutdown(socket.SHUT_WR)
            elif data:
                _write(data)
            else:
                return


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
