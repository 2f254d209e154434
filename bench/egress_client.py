"""The client of bench/egress.py: the same for every way to the server. Prints one JSON object of figures.

    python3 egress_client.py HOST PORT BYTES SECONDS

The proxy is the one that HTTP_PROXY names; without it the way is direct. A tunnel is CONNECT, a TLS hello with the host's name, and
then plain text (see egress_origin.py): what is measured is the way, not encryption. Standard library only; runs inside sandboxes.
"""

import base64
import json
import os
import resource
import selectors
import socket
import ssl
import sys
import time
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

HOST, PORT, BYTES, SECONDS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
PROXY = urlsplit(os.environ.get("HTTP_PROXY") or os.environ.get("http_proxy") or "")
CONNECTIONS = 8
CHUNK = 1 << 20
DEADLINE_S = 120.0


def credentials() -> str:
    if PROXY.username is None:
        return ""
    pair = f"{unquote(PROXY.username)}:{unquote(PROXY.password or '')}"
    return f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}\r\n"


def request(method: str, path: str, fields: str = "", tunnel: bool = False) -> bytes:
    target = f"http://{HOST}:{PORT}{path}" if PROXY.hostname and not tunnel else path
    own = credentials() if not tunnel else ""
    return f"{method} {target} HTTP/1.1\r\nHost: {HOST}:{PORT}\r\n{own}{fields}\r\n".encode()


def hello() -> bytes:
    """A real ClientHello with the host's name."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=HOST)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake without a server")


HELLO = hello()
CONNECT = f"CONNECT {HOST}:{PORT} HTTP/1.1\r\nHost: {HOST}:{PORT}\r\n{credentials()}\r\n".encode()


def connect(tunnel: bool) -> socket.socket:
    address = (PROXY.hostname, PROXY.port or 80) if PROXY.hostname else (HOST, PORT)
    sock = socket.create_connection(address, DEADLINE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tunnel:
        if PROXY.hostname:
            sock.sendall(CONNECT)
            head = read_head(sock)[0]
            if b" 200" not in head[:16]:
                raise SystemExit(f"the proxy refused a tunnel: {head!r}")
        sock.sendall(HELLO)
    return sock


def read_head(sock: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            raise SystemExit(f"the connection ended: {data!r}")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def length_of(head: bytes) -> int:
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
    if b" 200 " not in head[:20]:
        raise SystemExit(f"not 200: {head!r}")
    return int(fields[b"content-length"])


# --- requests per second ----------------------------------------------------------------------------------------------


def kept_alive(tunnel: bool) -> float:
    """Answers per second over connections that are kept."""
    selector, text = selectors.DefaultSelector(), request("GET", "/small", tunnel=tunnel)
    for _ in range(CONNECTIONS):
        sock = connect(tunnel)
        selector.register(sock, selectors.EVENT_READ, [bytearray(), 0])
        sock.sendall(text)
    begin, count = time.perf_counter(), 0
    while (now := time.perf_counter()) - begin < SECONDS:
        for key, _ in selector.select(1.0):
            buffer, _ = key.data
            data = key.fileobj.recv(65536)  # type: ignore[union-attr]
            if not data:
                raise SystemExit(f"a kept connection ended after {count} answers")
            buffer += data
            end = buffer.find(b"\r\n\r\n")
            if end >= 0 and len(buffer) >= end + 4 + (key.data[1] or length_of(bytes(buffer[:end]))):
                key.data[1] = 100  # all answers are alike; their heads need not be read again
                buffer.clear()
                count += 1
                key.fileobj.sendall(text)  # type: ignore[union-attr]
    for key in list(selector.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr]
    return count / (now - begin)


def anew(tunnel: bool) -> float:
    """Answers per second with a connection for each, one after the other."""
    text = request("GET", "/small", "Connection: close\r\n" if not tunnel else "", tunnel=tunnel)
    begin, count = time.perf_counter(), 0
    while (now := time.perf_counter()) - begin < SECONDS:
        with connect(tunnel) as sock:
            sock.sendall(text)
            head, rest = read_head(sock)
            wanted = length_of(head) - len(rest)
            while wanted > 0:
                wanted -= len(sock.recv(65536))
        count += 1
    return count / (now - begin)


# --- bytes per second -------------------------------------------------------------------------------------------------


def download(tunnel: bool) -> float:
    """MB/s of one large answer."""
    with connect(tunnel) as sock:
        begin = time.perf_counter()
        sock.sendall(request("GET", f"/big/{BYTES}", tunnel=tunnel))
        head, rest = read_head(sock)
        left, room = length_of(head) - len(rest), bytearray(CHUNK)
        while left:
            count = sock.recv_into(room)
            if not count:
                raise SystemExit(f"the answer ended {left} bytes early")
            left -= count
    return BYTES / 1e6 / (time.perf_counter() - begin)


def upload(tunnel: bool) -> float:
    """MB/s of one large body."""
    data = memoryview(os.urandom(CHUNK))
    with connect(tunnel) as sock:
        begin = time.perf_counter()
        sock.sendall(request("POST", "/sink", f"Content-Length: {BYTES}\r\n", tunnel=tunnel))
        left = BYTES
        while left:
            left -= sock.send(data[: min(left, CHUNK)])
        head, rest = read_head(sock)
        while len(rest) < length_of(head):
            rest += sock.recv(100)
    if int(rest) != BYTES:
        raise SystemExit(f"{int(rest)} of {BYTES} bytes arrived")
    return BYTES / 1e6 / (time.perf_counter() - begin)


ACTS: dict[str, Callable[[], float]] = {
    "http, kept alive (requests/s)": lambda: kept_alive(False),
    "http, a connection each (requests/s)": lambda: anew(False),
    "tunnels, a connection each (requests/s)": lambda: anew(True),
    "http download (MB/s)": lambda: download(False),
    "http upload (MB/s)": lambda: upload(False),
    "tunnel download (MB/s)": lambda: download(True),
    "tunnel upload (MB/s)": lambda: upload(True),
}

if __name__ == "__main__":
    figures = {name: act() for name, act in ACTS.items()}
    figures["client's processor time (s)"] = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    print(json.dumps(figures))
