"""A git server behind TLS that asks for a token, and in front of it what the broker does: swap stand-ins, judge, read pushes.

Repositories lie below a folder; those below ``public/`` need no credential.
"""

import base64
import contextlib
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from orchestrator.egress.config import Leaf
from orchestrator.egress.gitpush import PushReader, PushVerdict, judge_git_request
from orchestrator.egress.standins import Swapper
from orchestrator.model.network import GitRepo

USER = "x-access-token"
PIECE = 1000  # bytes; smaller than a packet may be


@dataclass
class Seen:
    """One request: ``outcome`` is what became of it, ``body`` only a push's."""

    line: str
    headers: tuple[tuple[str, str], ...]
    outcome: str
    body: bytes = field(repr=False, default=b"")


@dataclass
class GitServer:
    """``name``: host and port as repositories name them."""

    name: str
    port: int
    root: Path
    token: str
    swapper: Swapper
    repos: list[GitRepo]
    seen: list[Seen]

    def pushes(self) -> list[Seen]:
        return [one for one in self.seen if one.line.startswith("POST") and "git-receive-pack" in one.line]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    place: GitServer

    def do_GET(self) -> None:
        self.handle_one()

    def do_POST(self) -> None:
        self.handle_one()

    def handle_one(self) -> None:
        self.close_connection = True  # a refused body stays unread
        came = tuple(self.headers.items())
        path, _, query = self.path.partition("?")
        swapped = self.place.swapper.swap(came, "git.example.org", self.place.port, "agent")
        if swapped.misplaced:
            return self.answer(came, "misplaced", 403, swapped.reason.encode())
        push = False
        if swapped.used:
            verdict = judge_git_request(self.command, path, query, came, self.place.repos, self.place.name)
            if not verdict.allowed:
                return self.answer(came, f"refused: {verdict.reason}", 403, verdict.reason.encode())
            push = verdict.push
        body, judged = self.read_body(PushReader() if push else None)
        if judged and not judged.allowed:
            return self.answer(came, f"refused: {judged.reason}", 403, judged.reason.encode(), body)
        expected = "Basic " + base64.b64encode(f"{USER}:{self.place.token}".encode()).decode()
        if not path.startswith("/public/") and dict(swapped.headers).get("Authorization") != expected:
            return self.answer(came, "no credential", 401, b"who are you?", body, [("WWW-Authenticate", 'Basic realm="git"')])
        status, headers, content = self.backend(path, query, body)
        return self.answer(came, "passed", status, content, body if push else b"", headers)

    def read_body(self, reader: PushReader | None) -> tuple[bytes, PushVerdict | None]:
        """The whole body, unless what comes in the first pieces is refused."""
        body = b""
        for piece in self.pieces():
            body += piece
            verdict = reader.feed(piece) if reader else None
            if verdict and not verdict.allowed:
                return body, verdict
        return body, reader.finish() if reader else None

    def pieces(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding") != "chunked":
            left = int(self.headers.get("Content-Length") or 0)
            while left:
                piece = self.rfile.read(min(left, PIECE))
                left -= len(piece)
                yield piece
            return
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def backend(self, path: str, query: str, body: bytes) -> tuple[int, Sequence[tuple[str, str]], bytes]:
        environ = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.place.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": USER,
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path if ".git/" in path else path.replace("/info/", ".git/info/").replace("/git-", ".git/git-"),
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environ, capture_output=True, timeout=60, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = [(name, value) for name, _, value in (line.decode().partition(": ") for line in head.split(b"\r\n"))]
        status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
        return status, [pair for pair in headers if pair[0] in ("Content-Type", "Cache-Control")], content

    def answer(
        self,
        came: tuple[tuple[str, str], ...],
        outcome: str,
        status: int,
        content: bytes,
        body: bytes = b"",
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.place.seen.append(Seen(self.requestline, came, outcome, body))
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(content))), ("Connection", "close")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr: what was asked is in ``seen``."""


@contextlib.contextmanager
def git_server(root: Path, leaf: Leaf, token: str, folder: Path) -> Iterator[GitServer]:
    """Serve what lies below ``root`` as ``git.example.org`` on a loopback port."""
    (folder / "leaf.pem").write_text(leaf.cert + leaf.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.pem")
    handler = type("BoundHandler", (Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    port = server.server_address[1]
    handler.place = GitServer(f"git.example.org:{port}", port, root, token, Swapper(()), [], [])  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield handler.place  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
