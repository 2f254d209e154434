"""Egress with real sockets on this machine's loopback: names and addresses of its own, and servers that do what a test tells them.

Egress dials public addresses; here each of them stands for a port on loopback (``Origin``). Nothing else differs from a run.
"""

import contextlib
import http.client
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from orchestrator.egress.attempts import Deadlines
from orchestrator.egress.config import EgressConfig, Leaf, TlsConfig
from orchestrator.egress.hosts import Address
from orchestrator.egress.rules import hosts_to_inspect, parse_rule
from orchestrator.egress.server import Egress
from orchestrator.egress.standins import BoundSecret
from orchestrator.model.network import Gateway, GitRepo, NetworkPlan, NetworkUse
from orchestrator.model.task import NetworkMode

WAIT_S = 20.0
SHORT = Deadlines(head=1.0, idle=2.0, linger=0.5, gone=0.5)

ADDRESSES: Mapping[str, tuple[str, ...]] = {
    "a.example.org": ("93.184.215.14",),
    "b.example.org": ("93.184.215.15",),
    "c.example.org": ("93.184.215.16",),
    "v6.example.org": ("2606:2800:21f::16",),
    "two.example.org": ("2606:2800:21f::99", "93.184.215.14"),  # nobody answers at the first
    "mixed.example.org": ("127.0.0.1", "93.184.215.14"),
    "loopback.example.org": ("127.0.0.1",),
    "metadata.example.org": ("169.254.169.254",),
    "private.example.org": ("10.9.8.7",),
}
NOBODY = 9  # a port of this machine at which nothing listens


class Conn:
    """A server's end of one connection, as a script uses it."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(WAIT_S)
        self.sock = sock
        self.data = b""

    def more(self) -> bool:
        """Read once; False at the end."""
        try:
            piece = self.sock.recv(65536)
        except ConnectionError:
            return False
        self.data += piece
        return bool(piece)

    def head(self) -> bytes:
        """The next head; empty when the connection has ended."""
        while b"\r\n\r\n" not in self.data:
            if not self.more():
                return b""
        found, _, self.data = self.data.partition(b"\r\n\r\n")
        return found + b"\r\n\r\n"

    def exactly(self, count: int) -> bytes:
        while len(self.data) < count:
            assert self.more(), "the connection ended too early"
        found, self.data = self.data[:count], self.data[count:]
        return found

    def rest(self) -> bytes:
        while self.more():
            pass
        found, self.data = self.data, b""
        return found

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)


Script = Callable[[Conn], None]


def answering(body: bytes = b"hello", *, headers: bytes = b"", times: int = 1000) -> Script:
    """Answers each request without a body, and keeps the connection."""

    def script(conn: Conn) -> None:
        for _ in range(times):
            head = conn.head()
            if not head:
                return
            conn.send(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (headers, len(body), body))
            if b"Connection: close" in head:
                return

    return script


class Origin:
    """A server on loopback. ``received``: all bytes of each connection, as they came; ``problems``: what scripts raised."""

    def __init__(self, script: Script, tls: "Any | None" = None) -> None:
        self.script = script
        self.received: list[bytearray] = []
        self.problems: list[BaseException] = []
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._one, args=(sock,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _one(self, sock: socket.socket) -> None:
        log = bytearray()
        self.received.append(log)
        try:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
            conn = _Logged(sock, log)
            with sock:
                self.script(conn)
        except OSError as problem:
            log += b"<" + str(problem).encode() + b">" if self._tls is not None and not log else b""
        except BaseException as problem:  # noqa: BLE001 - a test asks for it
            self.problems.append(problem)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class _Logged(Conn):
    def __init__(self, sock: socket.socket, log: bytearray) -> None:
        super().__init__(sock)
        self._log = log

    def more(self) -> bool:
        before = len(self.data)
        more = super().more()
        if len(self._log) < 1 << 20:
            self._log += self.data[before:]
        return more


@dataclass
class Place:
    """``dialled``: every address and port, as egress wanted them; ``looked_up``: every name."""

    egress: Egress
    proxy: int
    gateway: int
    events: list[dict[str, Any]] = field(default_factory=list)
    dialled: list[tuple[str, int]] = field(default_factory=list)
    looked_up: list[str] = field(default_factory=list)

    def net(self, **wanted: object) -> list[dict[str, Any]]:
        """Events of kind net with these facts."""
        return [event for event in list(self.events) if event["kind"] == "net" and wanted.items() <= event.items()]

    def settled(self, **wanted: object) -> dict[str, Any]:
        """The one event with these facts, which may be on its way."""
        wait_for(lambda: bool(self.net(**wanted)))
        found = self.net(**wanted)
        assert len(found) == 1, found
        return found[0]

    def use(self) -> NetworkUse:
        return self.egress.use()

    def connect(self, port: int | None = None) -> "Client":
        return Client(socket.create_connection(("127.0.0.1", port or self.proxy), timeout=WAIT_S))

    def curl(self, *arguments: str, proxy: bool = True, tunnel: bool = False) -> "subprocess.CompletedProcess[bytes]":
        words = ["curl", "--silent", "--show-error", "--max-time", "20"]
        words += ["--proxy", f"http://127.0.0.1:{self.proxy}"] if proxy else ["--noproxy", "*"]
        words += ["--proxytunnel"] if tunnel else []
        return subprocess.run([*words, *arguments], capture_output=True, timeout=30, check=False, env={"PATH": "/usr/bin:/bin"})


class Client:
    """A client's end, as a test uses it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> "Client":
        self.sock.sendall(data)
        return self

    def recv(self, count: int = 65536) -> bytes:
        return self.sock.recv(count)

    def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self.sock.recv(count - len(data))
            assert piece, f"the connection ended after {data!r}"
            data += piece
        return data

    def until(self, mark: bytes) -> bytes:
        data = b""
        while mark not in data:
            piece = self.sock.recv(1)
            assert piece, f"the connection ended after {data!r}"
            data += piece
        return data

    def rest(self) -> bytes:
        """Everything until the end; a reset is an end, too."""
        data = b""
        with contextlib.suppress(ConnectionError):
            while piece := self.sock.recv(65536):
                data += piece
        return data

    def answer(self, method: str = "GET") -> "Answer":
        response = http.client.HTTPResponse(self.sock, method=method)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, response.reason, headers, response.read())

    def ask(self, data: bytes, method: str = "GET") -> "Answer":
        return self.send(data).answer(method)

    def tunnel(self, authority: str) -> "Client":
        """Ask for a tunnel, and get one."""
        self.send(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        assert self.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        return self

    def ended(self) -> bool:
        """Whether the other side closes, without a word more."""
        try:
            return self.sock.recv(1) == b""
        except ConnectionError:
            return True


@dataclass(frozen=True)
class Answer:
    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def denial(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/json"
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found


def get(url: str, *lines: str, method: str = "GET") -> bytes:
    """A request as a client sends it to a proxy."""
    host = url.partition("://")[2].partition("/")[0]
    return "".join([f"{method} {url} HTTP/1.1\r\nHost: {host}\r\n", *(f"{line}\r\n" for line in lines), "\r\n"]).encode("latin-1")


@contextlib.contextmanager
def place(
    origins: Mapping[tuple[str, int], Origin] | None = None,
    *,
    allow: Sequence[str] = (),
    deny: Sequence[str] = (),
    mode: NetworkMode = "allowlist",
    private: Sequence[str] = (),
    inspect: Sequence[str] = (),
    gateways: Sequence[Gateway] = (),
    git: Sequence[GitRepo] = (),
    secrets: Sequence[BoundSecret] = (),
    leaves: Sequence[Leaf] = (),
    upstream_ca: Path | None = None,
    deadlines: Deadlines = SHORT,
    addresses: Mapping[str, Sequence[str]] = ADDRESSES,
) -> Iterator[Place]:
    """``origins``: who answers at a name and port. At every other address nobody does."""
    rows = tuple(parse_rule(text, "test") for text in allow)
    plan = NetworkPlan(
        mode, (), rows, tuple(parse_rule(text, "test", deny=True) for text in deny), tuple(private),
        tuple(dict.fromkeys((*inspect, *hosts_to_inspect(rows)))), tuple(gateways), tuple(git), None, (),
    )  # fmt: skip
    tls = TlsConfig(tuple(leaves)) if leaves else None
    config = EgressConfig("run", plan, tuple(secrets), tls, None if upstream_ca is None else str(upstream_ca), None)
    events: list[dict[str, Any]] = []
    dialled: list[tuple[str, int]] = []
    looked_up: list[str] = []
    ports = {(ip_address(addresses[name][-1]), port): origin.port for (name, port), origin in (origins or {}).items()}

    def lookup(name: str) -> list[Address]:
        looked_up.append(name)
        if name not in addresses:
            raise OSError(-2, "Name or service not known")
        return [ip_address(address) for address in addresses[name]]

    def stand(address: Address, port: int) -> tuple[str, int]:
        dialled.append((str(address), port))
        return "127.0.0.1", ports.get((address, port), NOBODY)

    egress = Egress(
        config, lambda kind, facts: events.append({"kind": kind, **facts}), lookup=lookup, place=stand, deadlines=deadlines,
        own=lambda: frozenset([ip_address("93.184.215.2")]),
    )  # fmt: skip
    try:
        listeners = {name: socket.create_server(("127.0.0.1", 0), backlog=512) for name in ("proxy", "gateway")}
        numbers = {name: listener.getsockname()[1] for name, listener in listeners.items()}
        egress.listen("agent", listeners)
        yield Place(egress, numbers["proxy"], numbers["gateway"], events, dialled, looked_up)
        assert [event for event in events if event["kind"] == "egress.error"] == []
    finally:
        egress.close()
        for origin in (origins or {}).values():
            origin.close()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


def bare(secret: BoundSecret, **changes: Any) -> BoundSecret:
    return replace(secret, **changes)
