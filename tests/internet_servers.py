"""The servers of the small internet: a program of its own, started in one of its network namespaces (see tests/internet.py).

    python internet_servers.py CONFIG-JSON

Every server listens on all addresses of its namespace and writes what reaches it to the log, one JSON line per event. Prints
"ready" when all of them listen. Standard library only.
"""

import base64
import contextlib
import functools
import hashlib
import json
import os
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

CONFIG: Mapping[str, Any] = {}
IDLE_S = 30.0
PIECE = bytes(range(256)) * 256


def note(kind: str, sock: "socket.socket | None", **facts: object) -> None:
    """One line in the log; lines are short, so that several writers do not mix."""
    server, port, peer = "", 0, ""
    if sock is not None:
        with contextlib.suppress(OSError):
            (address, port, *_) = sock.getsockname()
            server = plain(address)
            (peer, *_) = sock.getpeername()
    line = {"at": time.time(), "place": CONFIG["place"], "kind": kind, "server": server, "port": port, "peer": plain(peer), **facts}
    with open(CONFIG["log"], "ab", buffering=0) as log:
        log.write(json.dumps(line).encode() + b"\n")


def plain(address: str) -> str:
    return address.removeprefix("::ffff:")


def owner(address: str) -> str:
    """The name that an address of ours has, as answers tell it."""
    return str(CONFIG["owners"].get(plain(address), plain(address)))


class Server(socketserver.ThreadingTCPServer):
    """Both families on one socket; handlers are threads that die with us."""

    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that breaks off is what many tests do


class Line(socketserver.BaseRequestHandler):
    """Any other port: says a greeting, then repeats what it hears."""

    def handle(self) -> None:
        sock: socket.socket = self.request
        sock.settimeout(IDLE_S)
        note("tcp", sock)
        sock.sendall(CONFIG["greetings"].get(str(sock.getsockname()[1]), "").encode())
        while data := sock.recv(65536):
            sock.sendall(data)


class Web(BaseHTTPRequestHandler):
    """What a client may want of an origin: see the methods ``do_*`` and ``PAGES``."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    sni: "str | None" = None

    def setup(self) -> None:
        raw: socket.socket = self.request
        raw.settimeout(IDLE_S)
        note("tcp", raw)
        self.secure = raw.getsockname()[1] in CONFIG["tls_ports"]
        if self.secure:
            wrapped = TLS.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
            self.request = wrapped
            try:
                wrapped.do_handshake()
            except (OSError, ssl.SSLError) as problem:
                note("tls", wrapped, failed=str(problem)[:100], sni=SNI.pop(id(wrapped), None))
                raise
            self.sni = SNI.pop(id(wrapped), None)
            note("tls", wrapped, sni=self.sni)
        super().setup()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def handle_expect_100(self) -> bool:
        self.send_response_only(100)
        self.end_headers()
        return True

    def version_string(self) -> str:
        return "small-internet"

    # --- answers

    def handle_any(self) -> None:
        path = urlsplit(self.path).path
        body = self.read_body() if self.command not in ("GET", "HEAD") else (b"", 0, "")
        note(
            "http", self.connection, method=self.command, target=self.path[:2000], host=self.headers.get_all("Host"), secure=self.secure,
            sni=self.sni, headers=[[name, value[:500]] for name, value in self.headers.items()][:60], body=body[0][:200].decode("latin-1"),
        )  # fmt: skip
        if path.startswith(("/git/", "/private-git/")):
            self.git(path, body[0])
        elif path == "/ws" and self.headers.get("Upgrade", "").lower() == "websocket":
            self.web_socket()
        else:
            first = path.strip("/").split("/")[0]
            PAGES.get(first, Web.page_text)(self, path, body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = handle_any

    def read_body(self) -> tuple[bytes, int, str]:
        """The first mebibyte, the whole size, the hash."""
        kept, size, digest = bytearray(), 0, hashlib.sha256()

        def take(data: bytes) -> None:
            nonlocal size
            size += len(data)
            digest.update(data)
            kept.extend(data[: max(0, (1 << 20) - len(kept))])

        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while length := int(self.rfile.readline(100).split(b";")[0] or b"0", 16):
                take(self.rfile.read(length))
                self.rfile.readline(10)
            while self.rfile.readline(1000).strip():
                pass
        else:
            left = int(self.headers.get("Content-Length") or 0)
            while left > 0 and (data := self.rfile.read(min(left, 1 << 16))):
                left -= len(data)
                take(data)
        return bytes(kept), size, digest.hexdigest()

    def answer(self, data: bytes, status: int = 200, kind: str = "text/plain", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), "X-Origin": self.origin(), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def origin(self) -> str:
        return owner(self.connection.getsockname()[0])

    def page_text(self, path: str, body: tuple[bytes, int, str]) -> None:
        self.answer(f"origin {self.origin()} {path}\n".encode())

    def page_echo(self, path: str, body: tuple[bytes, int, str]) -> None:
        """/echo: what arrived, as JSON."""
        document = {
            "method": self.command, "target": self.path, "headers": list(self.headers.items()), "body": body[0].decode("latin-1"),
            "size": body[1], "sha256": body[2], "origin": self.origin(), "secure": self.secure, "sni": self.sni,
        }  # fmt: skip
        self.answer(json.dumps(document).encode(), kind="application/json")

    def page_bytes(self, path: str, body: tuple[bytes, int, str]) -> None:
        """/bytes/N with a length; /chunked/N without."""
        word, left = path.strip("/").split("/")[:2]
        size = int(left)
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header(*(("Content-Length", str(size)) if word == "bytes" else ("Transfer-Encoding", "chunked")))
        self.end_headers()
        while size > 0 and self.command != "HEAD":
            piece = PIECE[: min(size, len(PIECE))]
            size -= len(piece)
            self.wfile.write(piece if word == "bytes" else b"%x\r\n%s\r\n" % (len(piece), piece))
        if word != "bytes" and self.command != "HEAD":
            self.wfile.write(b"0\r\n\r\n")

    def page_events(self, path: str, body: tuple[bytes, int, str]) -> None:
        """/events/N: server-sent events; each but the first waits 0.2 s, so that one who buffers shows."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for number in range(int(path.strip("/").split("/")[1])):
            time.sleep(0.2 if number else 0)
            self.wfile.write(f"data: {number} {time.time()}\n\n".encode())
            self.wfile.flush()
        self.close_connection = True

    def page_status(self, path: str, body: tuple[bytes, int, str]) -> None:
        self.answer(b"", int(path.strip("/").split("/")[1]))

    def page_redirect(self, path: str, body: tuple[bytes, int, str]) -> None:
        """/redirect/?to=URL"""
        self.answer(b"", 302, Location=parse_qs(urlsplit(self.path).query)["to"][0])

    def page_slow(self, path: str, body: tuple[bytes, int, str]) -> None:
        """/slow/SECONDS"""
        time.sleep(min(20.0, float(path.strip("/").split("/")[1])))
        self.page_text(path, body)

    def page_pypi(self, path: str, body: tuple[bytes, int, str]) -> None:
        """/files/NAME: a file of the folder ``files``; a folder gives links to its files, as pip reads them."""
        base = Path(CONFIG["files"]).resolve()
        wanted = (base / unquote(path).removeprefix("/files/").strip("/")).resolve()
        if not wanted.is_relative_to(base) or not wanted.exists():
            self.answer(b"", 404)
        elif wanted.is_dir():
            links = "".join(f'<a href="{entry.name}">{entry.name}</a>\n' for entry in sorted(wanted.iterdir()))
            self.answer(f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), kind="text/html")
        else:
            self.answer(wanted.read_bytes(), kind="application/octet-stream")

    def web_socket(self) -> None:
        """Answers each small frame with its content in capitals, and closes when asked to."""
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)):
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        while len(head := self.rfile.read(2)) == 2 and head[0] & 0xF != 8:
            size, mask = head[1] & 0x7F, self.rfile.read(4)
            data = bytes(byte ^ mask[index % 4] for index, byte in enumerate(self.rfile.read(size)))
            self.wfile.write(bytes([0x81, size]) + data.upper())
        self.wfile.write(b"\x88\x00")

    def git(self, path: str, body: bytes) -> None:
        """Repositories of the folder ``git``, by git's own program; those below /private-git ask for a password, of any user."""
        given = self.headers.get("Authorization", "")
        user = ""
        if path.startswith("/private-git/"):
            with contextlib.suppress(ValueError):
                user = base64.b64decode(given.removeprefix("Basic ")).decode() if given.startswith("Basic ") else ""
            if user.partition(":")[2] != Path(CONFIG["git_password"]).read_text():
                self.answer(b"", 401, WWW_Authenticate='Basic realm="git"')
                return
        split = urlsplit(self.path)
        environ = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": CONFIG["git"], "GIT_HTTP_EXPORT_ALL": "1", "REQUEST_METHOD": self.command,
            "PATH_INFO": "/" + unquote(split.path).removeprefix("/").partition("/")[2], "QUERY_STRING": split.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)), "REMOTE_ADDR": "192.0.2.1",
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""), "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*", "GIT_CONFIG_KEY_1": "http.receivepack", "GIT_CONFIG_VALUE_1": "true",
            **({"REMOTE_USER": user.partition(":")[0]} if user else {}),
        }  # fmt: skip
        done = subprocess.run(["git", "http-backend"], input=body, env=environ, capture_output=True, timeout=60, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n") if ": " in line)
        status = int(fields.pop("Status", "200").split()[0])
        kind = fields.pop("Content-Type", "text/plain")
        self.answer(content, status, kind, **{name.replace("-", "_"): value for name, value in fields.items() if name == "Cache-Control"})


PAGES = {
    "echo": Web.page_echo, "bytes": Web.page_bytes, "chunked": Web.page_bytes, "events": Web.page_events, "status": Web.page_status,
    "redirect": Web.page_redirect, "slow": Web.page_slow, "files": Web.page_pypi,
}  # fmt: skip

# --- TLS -------------------------------------------------------------------------------------------------------------

TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
SNI: "dict[int, str | None]" = {}


def load_certificates() -> None:
    TLS.load_cert_chain(CONFIG["certificate"], CONFIG["key"])
    TLS.set_alpn_protocols(["http/1.1"])
    unknown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    unknown.load_cert_chain(CONFIG["unknown_certificate"], CONFIG["unknown_key"])

    def choose(sock: "ssl.SSLSocket | ssl.SSLObject", name: "str | None", _context: ssl.SSLContext) -> None:
        SNI[id(sock)] = name
        if name == CONFIG["unknown_name"]:
            sock.context = unknown

    TLS.sni_callback = choose


# --- names -----------------------------------------------------------------------------------------------------------

ASKED: dict[str, tuple[int, float]] = {}
FORGET_S = 2.0
TYPES: Mapping[int, socket.AddressFamily] = {1: socket.AF_INET, 28: socket.AF_INET6}


def dns_answer(query: bytes, sock: socket.socket, way: str) -> bytes:
    """The answer to one question; every question is logged."""
    number, flags = struct.unpack(">HH", query[:4])
    labels, at = [], 12
    while size := query[at]:
        labels.append(query[at + 1 : at + 1 + size])
        at += 1 + size
    name, kind = b".".join(labels).decode("latin-1").lower(), struct.unpack(">H", query[at + 1 : at + 3])[0]
    note("dns", sock, name=name, type=kind, way=way)
    addresses = lookup(name, kind)
    packed = [socket.inet_pton(TYPES[kind], address) for address in addresses or ()]
    records = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(data)) + data for data in packed)
    code = 3 if addresses is None else 0
    head = struct.pack(">HHHHHH", number, 0x8180 | flags & 0x0100 | code, 1, len(packed), 0, 0)
    return head + query[12 : at + 5] + records


def lookup(name: str, kind: int) -> "list[str] | None":
    """Addresses of one family; None: no such name.

    A list of lists is taken in turn, for names that change their mind; when nobody asked for a while, from its beginning.
    """
    zone = CONFIG["zone"]
    parent = "*." + name.partition(".")[2]
    found = zone.get(name, zone.get(parent))
    if found is None:
        return None
    if found and isinstance(found[0], list):
        turn, at = ASKED.get(name, (0, 0.0))
        turn = turn if time.monotonic() - at < FORGET_S else 0
        if kind == 1:
            ASKED[name] = turn + 1, time.monotonic()
        found = found[min(turn, len(found) - 1)]
    return [address for address in found if (":" in address) == (kind == 28)] if kind in TYPES else []


class NamesByTcp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.settimeout(IDLE_S)
        while len(head := self.request.recv(2, socket.MSG_WAITALL)) == 2:
            query = self.request.recv(struct.unpack(">H", head)[0], socket.MSG_WAITALL)
            reply = dns_answer(query, self.request, "tcp")
            self.request.sendall(struct.pack(">H", len(reply)) + reply)


def datagrams(address: str, port: int, names: bool) -> None:
    """One datagram port: names are answered, all else is logged and sent back."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, port))

    def serve() -> None:
        while True:
            data, peer = sock.recvfrom(65536)
            with contextlib.suppress(Exception):
                if names:
                    reply = dns_answer(data, sock, "udp")
                else:
                    note("udp", sock, size=len(data), data=data[:100].decode("latin-1"))
                    reply = data
                sock.sendto(reply, peer)

    threading.Thread(target=serve, daemon=True).start()


# --- sockets of a host -----------------------------------------------------------------------------------------------


def unix_listener(address: str) -> None:
    """A socket of the host: whoever connects is logged and greeted."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind("\0" + address[1:] if address.startswith("@") else address)
    if not address.startswith("@"):
        os.chmod(address, 0o777)
    sock.listen(16)

    def serve() -> None:
        while True:
            client, _ = sock.accept()
            with contextlib.suppress(OSError), client:
                note("unix", None, server=address)
                client.sendall(b"host\n")

    threading.Thread(target=serve, daemon=True).start()


def main() -> None:
    global CONFIG
    CONFIG = json.loads(sys.argv[1])
    load_certificates()
    services: dict[int, type[socketserver.BaseRequestHandler]] = {int(port): Line for port in CONFIG["line_ports"]}
    services |= dict.fromkeys((*CONFIG["http_ports"], *CONFIG["tls_ports"]), Web)
    services |= {53: NamesByTcp} if CONFIG["names_at"] else {}
    for port, handler in services.items():
        server = Server(("::", port), handler)
        threading.Thread(target=functools.partial(server.serve_forever, 0.5), daemon=True).start()
    for address in CONFIG["names_at"]:
        datagrams(address, 53, True)
    for address, port in CONFIG["udp"]:
        datagrams(address, port, False)
    for address in CONFIG["unix"]:
        unix_listener(address)
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
