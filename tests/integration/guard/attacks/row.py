"""A row of the attack corpus, and how rows are written. ``@WORDS@`` are names and ids of a world that is there before: things of the
guard's session (OWN), things of somebody else (FOREIGN), an allowed image."""

import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Wins = Literal["answer", "container", "leak", "made", "tunnel"]
Mode = Literal["guarded", "readonly"]
REFUSED = (400, 403, 404, 405, 409, 411, 413, 415, 431, 501, 505)


@dataclass(frozen=True)
class Row:
    """``attack`` False: a neighbour that must pass. ``wins``: how an attack is recognized as successful: ``answer``: it is answered with
    success; ``container``: a container comes of it that is more than ours may be; ``leak``: its answer names what is somebody else's;
    ``made``: afterwards a container named ``evil-<id>`` is there, or an image of that name has what was somebody else's, or something of
    theirs is gone; ``tunnel``: 101, or ``made``.

    ``tamed``: success is fine as long as it does not win (rewritten, filtered). ``rule``: how the guard's rule id begins, where that
    is obvious. ``core``: the decision core alone can tell (it is not about a stream, or what comes after).
    """

    id: str
    section: str
    request: bytes
    attack: bool = True
    wins: Wins = "answer"
    mode: Mode = "guarded"
    tamed: bool = False
    rule: str = ""
    core: bool = True

    def render(self, world: Mapping[str, str]) -> bytes:
        """The bytes to send: words replaced, and the length of the body in the place of ``@LENGTH@``."""
        data = self.request
        for word, value in {**world, "EVIL": f"evil-{self.id}"}.items():
            data = data.replace(f"@{word}@".encode(), value.encode())
        data = _ARCHIVES.sub(lambda found: archive(found[0]), data)
        data = _CHUNK.sub(lambda found: b"%x\r\n%s" % (len(found[1]), found[0][len(b"@CHUNK@\r\n") :]), data)
        head, separator, body = data.partition(b"\r\n\r\n")
        inner = body.rpartition(b"\r\n\r\n")[2]
        return head.replace(b"@LENGTH@", b"%d" % len(body)) + separator + body.replace(b"@INNER@", b"%d" % len(inner))


_ARCHIVES = re.compile(rb"(?:@TAR\(.*?\)TAR@)+", re.DOTALL)
_CHUNK = re.compile(rb"@CHUNK@\r\n(.*?)\r\n0\r\n\r\n", re.DOTALL)


def archive(marked: bytes) -> bytes:
    """A tar archive with a member named Dockerfile for each marked text."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as made:
        for text in re.findall(rb"@TAR\((.*?)\)TAR@", marked, re.DOTALL):
            member = tarfile.TarInfo("Dockerfile")
            member.size = len(text)
            made.addfile(member, io.BytesIO(text))
    return stream.getvalue()


def http(method: str, target: str, body: Any = None, *fields: str, kind: str = "application/json") -> bytes:
    """A request like a client's, for one connection. ``body``: a value for JSON, or text or bytes as they are."""
    data = b"" if body is None else body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    lines = [f"{method} {target} HTTP/1.1", "Host: docker", *fields]
    if not any(field.lower().startswith("connection:") for field in fields):
        lines.append("Connection: close")
    if body is not None:
        lines += [f"Content-Type: {kind}"] if kind else []
    if body is not None or method in ("POST", "PUT"):
        lines.append("Content-Length: @LENGTH@")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


V = "/v1.41"
CREATE = f"{V}/containers/create?name=@EVIL@"
PLAIN: dict[str, Any] = {"Image": "@IMAGE@", "Cmd": ["true"]}


def created(section: str, host: Mapping[str, Mapping[str, Any]], **more: Any) -> Iterator[Row]:
    """Rows that create a container with one HostConfig each."""
    for name, config in host.items():
        yield Row(name, section, http("POST", CREATE, {**PLAIN, "HostConfig": config}), wins="container", **more)


def passes(section: str, host: Mapping[str, Mapping[str, Any]]) -> Iterator[Row]:
    for name, config in host.items():
        yield Row(name, section, http("POST", CREATE, {**PLAIN, "HostConfig": config}), attack=False)


def calls(section: str, table: Mapping[str, tuple[Any, ...]], **more: Any) -> Iterator[Row]:
    """Rows from (method, target, body...)."""
    for name, (method, target, *rest) in table.items():
        yield Row(name, section, http(method, target, *rest), **more)


def tar(*dockerfiles: str) -> bytes:
    """The place of an archive: it is made when the words in its files have been replaced."""
    return b"".join(b"@TAR(" + text.encode() + b")TAR@" for text in dockerfiles)
