"""What answers at the address may be anything: a web server, a half-dead proxy. Every call ends in an error of ours."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.backends.docker import Engine, EngineSilent
from orchestrator.backends.docker_endpoint import Endpoint
from orchestrator.errors import EnvironmentFailed

VERSION = b'{"ApiVersion":"1.41","Version":"20.10"}'


def answer(body: bytes, kind: bytes = b"application/json") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (kind, len(body), body)


@contextlib.contextmanager
def speaking(folder: Path, first: bytes, later: bytes) -> Iterator[Engine]:
    """A server that gives one answer to the first request and another to all that follow, and hangs up."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "odd.sock"))
        server.listen()

        def serve() -> None:
            said = first
            with contextlib.suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client:
                        client.recv(65536)
                        client.sendall(said)
                    said = later

        threading.Thread(target=serve, daemon=True).start()
        yield Engine(Endpoint(f"unix://{folder}/odd.sock", None, "test"))
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("first", "later"),
    [
        pytest.param(b"", b"", id="hangs-up"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", b"", id="ssh"),
        pytest.param(answer(b"<html>hello</html>", b"text/html"), b"", id="web-server"),
        pytest.param(answer(b"[]"), b"", id="another-json"),
        pytest.param(answer(b'{"ApiVersion": 7}'), b"", id="another-type"),
        pytest.param(answer(VERSION), answer(b"[1, 2]"), id="list-for-an-object"),
        pytest.param(answer(VERSION), answer(b"{"), id="half-an-object"),
        pytest.param(answer(VERSION), b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{", id="cut-off"),
        pytest.param(answer(VERSION), b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", id="error-without-words"),
        pytest.param(answer(VERSION), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", id="bad-chunk"),
    ],
)
@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda engine: engine.info(), id="object"),
        pytest.param(lambda engine: engine.containers(["a=b"]), id="list"),
        pytest.param(lambda engine: engine.image("debian:12")["Id"], id="member"),
    ],
)
def test_strange_answers(tmp_path: Path, first: bytes, later: bytes, call: Callable[[Engine], object]) -> None:
    """Each shape of call ends in our error."""
    with speaking(tmp_path, first, later) as engine, pytest.raises(EnvironmentFailed):
        call(engine)


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", id="bad-chunk"),
        pytest.param(b'HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{"status":"x"}\n', id="cut-off"),
        pytest.param(answer(b'{"errorDetail":{},"error":"toomanyrequests: slow down"}\n'), id="error-in-the-stream"),
    ],
)
def test_strange_streams(tmp_path: Path, later: bytes) -> None:
    """A pull that breaks off, or that says so itself, has failed."""
    with speaking(tmp_path, answer(VERSION), later) as engine, pytest.raises(EnvironmentFailed):
        engine.pull("debian:12", lambda line: None)


def test_engine_that_is_gone(tmp_path: Path) -> None:
    """The address is in the message."""
    with pytest.raises(EngineSilent, match=r"none\.sock"):
        Engine(Endpoint(f"unix://{tmp_path}/none.sock", None, "test")).info()
