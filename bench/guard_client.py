"""A small client of the Docker API for measurements: it adds as little of its own as it can, and checks every answer."""

import io
import json
import socket
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

PIECE = 1 << 20
V = "/v1.41"
ANSWER_S = 300.0


class Failed(Exception):
    """An answer was not the one that a client needs."""


@dataclass(frozen=True)
class Archive:
    """A tar archive whose large member is zeros, which are not kept in memory."""

    first: bytes
    zeros: int
    last: bytes


def archive(size: int, dockerfile: bytes | None = None) -> Archive:
    """One file ``large`` of ``size`` bytes, and perhaps a Dockerfile."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as made:
        if dockerfile is not None:
            member = tarfile.TarInfo("Dockerfile")
            member.size = len(dockerfile)
            made.addfile(member, io.BytesIO(dockerfile))
        end = made.offset
    large = tarfile.TarInfo("large")
    large.size = size
    return Archive(stream.getvalue()[:end] + large.tobuf(), size, bytes(-size % 512 + 1024))


class Connection:
    """One connection; requests one after the other."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(ANSWER_S)
        self._socket.connect(path)
        self._file = self._socket.makefile("rb", PIECE)

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, method: str, path: str, body: bytes | None = None, *fields: str, length: int | None = None) -> None:
        """The head, and a small body; ``length``: of one that follows."""
        size = length if length is not None else len(body) if body is not None else 0 if method in ("POST", "PUT") else None
        lines = [f"{method} {path} HTTP/1.1", "Host: docker", *fields, *([f"Content-Length: {size}"] if size is not None else [])]
        self._socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))

    def head(self) -> tuple[int, dict[str, str]]:
        first = self._file.readline().split()
        if len(first) < 2:
            raise Failed("no answer")
        fields: dict[str, str] = {}
        while (line := self._file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            fields[name.strip().lower()] = value.strip()
        return int(first[1]), fields

    def body(self, fields: dict[str, str], status: int = 200) -> Iterator[bytes]:
        """The pieces of an answer's body."""
        if status in (204, 304):
            return
        if "chunked" in fields.get("transfer-encoding", ""):
            while size := int(self._file.readline().split(b";")[0], 16):
                while size:
                    piece = self._file.read1(min(size, PIECE))
                    if not piece:
                        raise Failed("the answer broke off")
                    size -= len(piece)
                    yield piece
                self._file.readline()
            self._file.readline()
        elif "content-length" in fields:
            left = int(fields["content-length"])
            while left:
                piece = self._file.read1(min(left, PIECE))
                if not piece:
                    raise Failed("the answer broke off")
                left -= len(piece)
                yield piece
        else:
            while piece := self._file.read1(PIECE):
                yield piece

    def ask(self, method: str, path: str, body: Any = None, wanted: tuple[int, ...] = (200, 201, 204)) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        self.send(method, path, data, *(("Content-Type: application/json",) if data is not None else ()))
        status, fields = self.head()
        text = b"".join(self.body(fields, status))
        if status not in wanted:
            raise Failed(f"{method} {path}: {status} {text[:300]!r}")
        return json.loads(text) if text and "json" in fields.get("content-type", "") else text

    def upload(self, method: str, path: str, archive: "Archive") -> bytes:
        self.send(method, path, None, "Content-Type: application/x-tar", length=len(archive.first) + archive.zeros + len(archive.last))
        self._socket.sendall(archive.first)
        zeros, left = bytes(PIECE), archive.zeros
        while left:
            left -= self._socket.send(zeros[: min(left, PIECE)])
        self._socket.sendall(archive.last)
        status, fields = self.head()
        text = b"".join(self.body(fields, status))
        if status != 200 or b"errorDetail" in text:
            raise Failed(f"{method} {path}: {status} {text[:300]!r}")
        return text

    def download(self, path: str) -> int:
        """How many bytes an answer has."""
        self.send("GET", path)
        status, fields = self.head()
        size = sum(len(piece) for piece in self.body(fields, status))
        if status != 200:
            raise Failed(f"GET {path}: {status}")
        return size

    def tunnel(self, path: str, body: Any, said: bytes) -> bytes:
        """Upgrade, say something, close our side, and read to the end: what a terminal or ``exec -i`` does."""
        data = json.dumps(body).encode()
        self.send("POST", path, data, "Content-Type: application/json", "Connection: Upgrade", "Upgrade: tcp")
        status, fields = self.head()
        if status != 101:
            raise Failed(f"POST {path}: {status} in place of 101 ({fields.get('content-type')})")
        self._socket.sendall(said)
        self._socket.shutdown(socket.SHUT_WR)
        return self._file.read()


def ask(path: str, method: str, target: str, body: Any = None, wanted: tuple[int, ...] = (200, 201, 204)) -> Any:
    """On a connection of its own."""
    with Connection(path) as connection:
        return connection.ask(method, target, body, wanted)


def life(path: str, image: str) -> None:
    """create, wait, start, remove, as the command line does it."""
    host = {"NetworkMode": "none", "Memory": 32 << 20, "PidsLimit": 64}
    made = ask(path, "POST", f"{V}/containers/create", {"Image": image, "Cmd": ["true"], "HostConfig": host})
    target = f"{V}/containers/{made['Id']}"
    with Connection(path) as waiting:
        waiting.send("POST", f"{target}/wait?condition=next-exit")
        status, fields = waiting.head()
        ask(path, "POST", f"{target}/start")
        b"".join(waiting.body(fields, status))
    ask(path, "DELETE", target)


def exec_round_trip(path: str, container: str) -> None:
    made = ask(path, "POST", f"{V}/containers/{container}/exec", {"Cmd": ["cat"], "AttachStdin": True, "AttachStdout": True})
    with Connection(path) as connection:
        answer = connection.tunnel(f"{V}/exec/{made['Id']}/start", {"Detach": False, "Tty": False}, b"there and back\n")
    if answer[8:] != b"there and back\n":
        raise Failed(f"the tunnel brought {answer[:60]!r}")
