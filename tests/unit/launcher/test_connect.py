"""The program for ssh's ProxyCommand, with a proxy of the test's own."""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.launcher import connect

DEADLINE_S = 30.0


def through(serve: Callable[[socket.socket], None], sent: bytes, host: str = "git.example.org") -> tuple[int, bytes, bytes, bytes]:
    """(exit code, output, errors, what the proxy was asked) of one run against a proxy that serves one connection."""
    asked = bytearray()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        listener.settimeout(DEADLINE_S)

        def accept() -> None:
            with listener.accept()[0] as sock:
                sock.settimeout(DEADLINE_S)
                while b"\r\n\r\n" not in asked:
                    asked.extend(sock.recv(1))
                serve(sock)

        thread = threading.Thread(target=accept)
        thread.start()
        command = [sys.executable, "-I", "-S", str(Path(connect.__file__)), str(listener.getsockname()[1]), host, "22"]
        done = subprocess.run(command, input=sent, capture_output=True, timeout=DEADLINE_S, check=False)
        thread.join(DEADLINE_S)
    return done.returncode, done.stdout, done.stderr, bytes(asked)


def everything(sock: socket.socket) -> bytes:
    data = b""
    while more := sock.recv(65536):
        data += more
    return data


def test_bytes_pass_both_ways() -> None:
    """More than any buffer holds, in both directions, with what came right behind the proxy's answer."""
    big = bytes(range(256)) * 4096

    def serve(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\nSSH-2.0\r\n")
        sock.sendall(everything(sock))

    code, out, err, asked = through(serve, big)
    assert (code, err) == (0, b"")
    assert out == b"SSH-2.0\r\n" + big
    assert asked == b"CONNECT git.example.org:22 HTTP/1.1\r\nHost: git.example.org:22\r\n\r\n"


def test_an_address_of_ipv6_is_put_in_brackets() -> None:
    """As the proxy's grammar wants it."""
    assert through(lambda sock: None, b"", host="2001:db8::1")[3].startswith(b"CONNECT [2001:db8::1]:22 HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b'HTTP/1.1 403 Forbidden\r\nContent-Length: 20\r\n\r\n{"allow_with":"here"}', b'{"allow_with":"here"}'),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", b"502"),
        (b"", b""),
        (b"200\r\n\r\n", b"200"),
    ],
    ids=["denied", "unreachable", "nothing", "no-http"],
)
def test_a_refusal_is_passed_on(answer: bytes, said: bytes) -> None:
    """What the proxy says is what the user of ssh reads; nothing of it is taken for the far side's."""
    code, out, err, _ = through(lambda sock: sock.sendall(answer), b"SSH-2.0-client\r\n")
    assert (code, out) == (1, b"")
    assert said in err


def test_nobody_listens() -> None:
    """Without a proxy: an error in words."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    command = [sys.executable, "-I", "-S", str(Path(connect.__file__)), str(port), "git.example.org", "22"]
    done = subprocess.run(command, input=b"", capture_output=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 1
    assert b"git.example.org:22 could not be reached: " in done.stderr
