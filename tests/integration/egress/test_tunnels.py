"""CONNECT: who gets a tunnel, and what may go through it."""

import contextlib
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from tests.integration.egress.conftest import Authority
from tests.integration.egress.place import Conn, Origin, Place, answering, place, wait_for
from tests.unit.egress.test_clienthello import extension, message, records, sni

TLS = ("a.example.org", 443)
ALERT = bytes([21, 3, 1, 0, 2, 2, 49])
NAME = sni(b"a.example.org")


def through(here: Place, context: ssl.SSLContext, host: str, name: str | None) -> ssl.SSLSocket:
    """TLS to ``name`` in a tunnel to ``host``."""
    client = here.connect().tunnel(f"{host}:443")
    return context.wrap_socket(client.sock, server_hostname=name)


def test_clients(world: Authority) -> None:
    """curl, openssl and Python: end to end, with the server's own certificate; one event when the tunnel ends."""
    origin = Origin(answering(), tls=world.server("a.example.org"))
    with place({TLS: origin}, allow=["a.example.org"]) as here:
        done = here.curl("--cacert", str(world.ca), "https://a.example.org/x", "https://a.example.org/y")
        assert done.stdout == b"hellohello"
        words = ["openssl", "s_client", "-proxy", f"127.0.0.1:{here.proxy}", "-connect", "a.example.org:443", "-servername"]
        words += ["a.example.org", "-CAfile", str(world.ca), "-verify_return_error", "-quiet"]
        asked = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        shown = subprocess.run(words, input=asked, capture_output=True, timeout=30, check=False)
        assert b"HTTP/1.1 200 OK" in shown.stdout
        wait_for(lambda: len(here.net()) == 2)
    event = here.net()[0]
    assert (event["decision"], event["scheme"], event["sni"], event["address"]) == ("allow", "connect", "a.example.org", "93.184.215.14")
    assert event["out"] > 200
    assert event["in"] > 500


@pytest.mark.parametrize(
    ("authority", "status", "rule"),
    [
        pytest.param("b.example.org:443", 403, "not-allowed", id="host"),
        pytest.param("a.example.org:8443", 403, "port", id="port"),
        pytest.param("a.example.org", 403, "bad-host", id="no-port"),
        pytest.param("a.example.org:", 403, "bad-host", id="empty-port"),
        pytest.param("a.example.org:0443", 403, "bad-host", id="odd-port"),
        pytest.param("93.184.215.14:443", 403, "address-literal", id="address"),
        pytest.param("127.0.0.1:22", 403, "address-literal", id="loopback"),
        pytest.param("[::1]:443", 403, "address-literal", id="loopback6"),
        pytest.param("x@a.example.org:443", 403, "bad-host", id="user"),
        pytest.param("a.example.org\\.b.example.org:443", 403, "bad-host", id="backslash"),
        pytest.param("loopback.example.org:443", 403, "address", id="name-of-loopback"),
        pytest.param("metadata.example.org:443", 403, "address", id="name-of-metadata"),
        pytest.param("unknown.example.org:443", 502, "unresolved", id="no-such-name"),
        pytest.param("c.example.org:443", 502, "unreachable", id="nobody-there"),
        pytest.param("/x", 403, "bad-host", id="path"),
    ],
)
def test_no_tunnel(authority: str, status: int, rule: str) -> None:
    """The refusal comes in place of the 200, with its reason."""
    allow = [f"{name}.example.org" for name in ("a", "c", "loopback", "metadata", "unknown")]
    with place(allow=allow) as here, here.connect() as client:
        answer = client.ask(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        assert (answer.status, answer.denial["rule"]) == (status, rule)
        assert client.ended()
    assert here.settled(rule=rule)["decision"] == ("deny" if status == 403 else "allow")


@pytest.mark.parametrize(
    ("hello", "rule"),
    [
        pytest.param(records(message(sni(b"evil.example.net"))), "tls-name", id="other-name"),
        pytest.param(records(message(sni(b"x.a.example.org"))), "tls-name", id="name-below"),
        pytest.param(records(message(sni(b"a.example.org.evil.net"))), "tls-name", id="name-in-front"),
        pytest.param(records(message(extension(23))), "tls-name", id="no-name"),
        pytest.param(records(message()), "tls-name", id="no-extensions"),
        pytest.param(records(message(NAME, extension(0xFE0D, b"x"))), "ech", id="ech"),
        pytest.param(records(message(NAME, extension(0xFFCE, b"x"))), "ech", id="esni"),
        pytest.param(records(message(sni(b"evil.example.net")), 3), "tls-name", id="other-name-in-pieces"),
        pytest.param(records(message(NAME, extension(0xFE0D, b"x")), 1), "ech", id="ech-in-pieces"),
    ],
)
@pytest.mark.parametrize("slowly", [False, True])
def test_tls_for_another_host(hello: bytes, rule: str, slowly: bool) -> None:
    """Not one byte of it reaches the server; the client gets an alert, and its end."""
    origin = Origin(answering())
    with place({TLS: origin}, allow=["a.example.org"]) as here, here.connect() as client:
        client.tunnel("a.example.org:443")
        step = max(len(hello) // 5, 1) if slowly else len(hello)
        for start in range(0, len(hello), step):
            client.send(hello[start : start + step])
            time.sleep(0.01 if slowly else 0)
        assert client.rest() == ALERT
        event = here.settled(decision="deny", rule=rule)
        assert (event["host"], event["port"]) == ("a.example.org", 443)
        wait_for(lambda: origin.received == [b""])


@pytest.mark.parametrize("name", [b"a.example.org", b"A.Example.ORG"])
def test_the_name_may_be_spelt_otherwise(name: bytes) -> None:
    """The bytes that were looked at arrive as they are, also those behind them."""
    hello = records(message(sni(name)), 40) + b"\x14\3\3\0\1\1"

    def script(conn: Conn) -> None:
        assert conn.exactly(len(hello)) == hello
        conn.send(b"fine")

    origin = Origin(script)
    with place({TLS: origin}, allow=["a.example.org"]) as here, here.connect() as client:
        client.tunnel("a.example.org:443")
        client.send(hello[:1])
        time.sleep(0.02)
        client.send(hello[1:])
        assert client.exactly(4) == b"fine"
    assert origin.problems == []


def test_an_address_that_is_listed_needs_no_name() -> None:
    """TLS has no name for addresses."""
    origin = Origin(lambda conn: conn.send(conn.exactly(5)))
    with place({TLS: origin}, allow=["93.184.215.14"]) as here, here.connect() as client:
        client.tunnel("93.184.215.14:443").send(records(message(extension(23))))
        assert client.exactly(3) == b"\x16\3\1"


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(b"SSH-2.0-x\r\n", id="ssh"),
        pytest.param(b"\0\0\0\x08\x04\xd2\x16\x2f", id="binary"),
        pytest.param(b"\x16\3\1\0\x05\2\0\0\1x", id="a-server's-hello"),
        pytest.param(records(message(NAME, NAME)), id="malformed-hello"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a.example.org\r\n\r\n", id="http-at-443"),
        pytest.param(b"", id="silence"),
    ],
)
def test_neither_tls_nor_http(words: bytes) -> None:
    """Nothing of it reaches the server; the refusal tells the rule that would let bytes pass."""
    origin = Origin(lambda conn: conn.send(conn.rest()))
    with place({TLS: origin}, allow=["a.example.org"]) as here, here.connect() as client:
        client.tunnel("a.example.org:443").send(words)
        assert client.answer().denial["allow_with"]["flag"] == "--allow-host tcp://a.example.org:443"
        assert here.settled(decision="deny")["rule"] == "not-tls"
        wait_for(lambda: origin.received == [b""])


def test_bare_bytes_by_a_rule_of_their_own() -> None:
    """``tcp://``: nothing is looked at, and the server may speak first."""

    def script(conn: Conn) -> None:
        conn.send(b"220 hello\r\n")
        conn.send(conn.exactly(4).upper())

    with place({("a.example.org", 25): Origin(script)}, allow=["tcp://a.example.org:25"]) as here:
        with here.connect() as client:
            client.tunnel("a.example.org:25")
            assert client.exactly(11) == b"220 hello\r\n"
            assert client.send(b"quit").exactly(4) == b"QUIT"
            assert client.ended()
        assert here.settled(port=25)["scheme"] == "tcp"
        with here.connect() as other:
            assert other.ask(b"CONNECT a.example.org:26 HTTP/1.1\r\nHost: a\r\n\r\n").status == 403


def test_open_lets_bytes_pass_but_no_false_names() -> None:
    """In mode ``open`` a server may speak first at any port; TLS for another host than said is refused all the same."""
    origin, secure = Origin(lambda conn: conn.send(b"SSH-2.0-x\r\n")), Origin(answering())
    with place({("a.example.org", 22): origin, TLS: secure}, mode="open", deny=["b.example.org"]) as here:
        with here.connect() as client:
            assert client.tunnel("a.example.org:22").exactly(11) == b"SSH-2.0-x\r\n"
        with here.connect() as client:
            client.tunnel("a.example.org:443").send(records(message(sni(b"b.example.org"))))
            assert client.rest() == ALERT
        for hello in (b"\x16\x03\x01\x00\x00", records(message(sni(b"b.example.org")))[:-1]):  # malformed; never ends
            with here.connect() as client:
                client.tunnel("a.example.org:443").send(hello)
                assert client.answer().denial["rule"] == "not-tls"
        with here.connect() as client:
            assert client.ask(b"CONNECT metadata.example.org:80 HTTP/1.1\r\nHost: x\r\n\r\n").status == 403
    with place({("a.example.org", 22): Origin(origin.script)}, mode="learn") as here, here.connect() as client:
        client.tunnel("a.example.org:22").send(b"SSH-2.0-x\r\n")
        assert client.answer().status == 403  # what is learnt has to be true


def test_requests_in_a_tunnel() -> None:
    """Port 80: several agents do that. Each request is judged, and has to be for the tunnel's host."""
    origin = Origin(answering())
    with place({("a.example.org", 80): origin}, allow=["GET http://a.example.org/ok*"]) as here, here.connect() as client:
        client.tunnel("a.example.org:80")
        assert client.ask(b"GET /ok HTTP/1.1\r\nHost: a.example.org\r\n\r\n").body == b"hello"
        for line, host, rule in (
            (b"POST /ok", b"a.example.org", "method-or-path"),
            (b"GET /no", b"A.example.org:80", "method-or-path"),
            (b"GET /ok", b"b.example.org", "host-header"),
            (b"GET /ok", b"a.example.org:81", "host-header"),
        ):
            answer = client.ask(line + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
            assert (answer.status, answer.headers["x-aienv-denied"]) == (403, rule)
        assert client.ask(b"GET /ok2 HTTP/1.1\r\nHost: a.example.org\r\n\r\n").body == b"hello"
        assert client.ask(b"GET http://b.example.org/ HTTP/1.1\r\nHost: b.example.org\r\n\r\n").status == 400
        done = here.curl("http://a.example.org/ok", tunnel=True)
        assert done.stdout == b"hello"
    assert [bytes(log).count(b"GET /ok") for log in origin.received] == [2, 1]
    assert {event["scheme"] for event in here.net(decision="allow")} == {"http"}


@pytest.mark.parametrize("size", [1000, 20_000_000])
def test_half_a_close(size: int) -> None:
    """A side that has said all still hears the other one, in both directions and through whatever moves the bytes."""
    body = bytes(range(250)) * (size // 250)

    def script(conn: Conn) -> None:
        assert conn.rest() == body
        conn.send(body[::-1])

    origin = Origin(script)
    with place({("a.example.org", 7): origin}, allow=["tcp://a.example.org:7"]) as here, here.connect() as client:
        client.tunnel("a.example.org:7").send(body)
        client.sock.shutdown(socket.SHUT_WR)
        assert client.rest() == body[::-1]
        event = here.settled(port=7)
    assert (event["out"], event["in"]) == (len(body), len(body))
    assert origin.problems == []


def test_no_faster_than_the_other_side_takes() -> None:
    """A client that sends to a server that does not read is stopped soon; the same the other way."""
    stop = threading.Event()

    def script(conn: Conn) -> None:
        conn.sock.settimeout(1.0)
        sent = 0
        try:
            while sent < 300_000_000:
                sent += conn.sock.send(bytes(1 << 16))
        except TimeoutError:
            pass
        came.append(sent)
        stop.wait(20)

    came: list[int] = []
    origin = Origin(script)
    with place({("a.example.org", 7): origin}, allow=["tcp://a.example.org:7"]) as here, here.connect() as client:
        client.tunnel("a.example.org:7").sock.settimeout(1.0)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 300_000_000:
                sent += client.sock.send(bytes(1 << 16))
        wait_for(lambda: came != [])
        stop.set()
    for count in (sent, *came):
        assert 100_000 < count < 60_000_000  # what socket buffers and a pipe hold


def test_a_side_that_breaks_off() -> None:
    """The other side sees that it was no proper end."""

    def script(conn: Conn) -> None:
        conn.exactly(5)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with place({("a.example.org", 7): Origin(script)}, allow=["tcp://a.example.org:7"]) as here, here.connect() as client:
        client.tunnel("a.example.org:7").send(b"hello")
        with pytest.raises(ConnectionResetError):
            client.recv()


def test_bytes_before_the_answer() -> None:
    """Some clients do not wait for the 200: what they sent is looked at like the rest."""
    hello = records(message(NAME))
    origin = Origin(lambda conn: conn.send(b"got " + conn.exactly(len(hello))[:3]))
    with place({TLS: origin}, allow=["a.example.org"]) as here:
        with here.connect() as client:
            client.send(b"CONNECT a.example.org:443 HTTP/1.1\r\nHost: a\r\n\r\n" + hello[:20])
            client.until(b"\r\n\r\n")
            assert client.send(hello[20:]).exactly(7) == b"got \x16\3\1"
        with here.connect() as client:
            client.send(b"CONNECT a.example.org:443 HTTP/1.1\r\nHost: a\r\n\r\n" + records(message(sni(b"evil.example.net"))))
            client.until(b"\r\n\r\n")
            assert client.rest() == ALERT


@pytest.mark.parametrize("line", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_a_connect_has_no_body(line: str) -> None:
    """What would follow it has two readings."""
    with place({TLS: Origin(answering())}, allow=["a.example.org"]) as here, here.connect() as client:
        assert client.ask(f"CONNECT a.example.org:443 HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n".encode()).status == 400
    assert here.dialled == []


def test_the_end_of_a_phase_ends_everything() -> None:
    """Tunnels, requests and listeners; their events are written before the answer."""
    origin = Origin(lambda conn: conn.send(conn.rest()))
    with place({("a.example.org", 7): origin}, allow=["tcp://a.example.org:7"]) as here:
        with here.connect() as client, here.connect() as idle:
            client.tunnel("a.example.org:7").send(b"hello")
            wait_for(lambda: any(origin.received))
            here.egress.quiet()
            assert here.net(port=7)[0]["out"] == 5
            assert here.events[-1]["kind"] == "net.summary"
            assert client.ended()
            assert idle.ended()
        with pytest.raises(ConnectionRefusedError):
            here.connect()
        listener = socket.create_server(("127.0.0.1", 0))
        here.egress.listen("check", {"proxy": listener})
        with here.connect(listener.getsockname()[1]) as client:
            assert client.tunnel("a.example.org:7")
            client.sock.shutdown(socket.SHUT_RDWR)
        wait_for(lambda: here.net(phase="check") != [])


@pytest.mark.parametrize("when", ["before-the-answer", "before-the-first-word", "at-the-end-of-the-phase"])
def test_tunnels_that_carry_nothing_are_in_the_log(when: str) -> None:
    """A name was looked up and a server dialled for them: both can be seen outside."""
    with place({("a.example.org", 443): Origin(Conn.rest)}, allow=["a.example.org"]) as here:
        with here.connect() as client:
            client.send(b"CONNECT a.example.org:443 HTTP/1.1\r\nHost: a.example.org:443\r\n\r\n")
            if when != "before-the-answer":
                client.until(b"\r\n\r\n")
            if when != "at-the-end-of-the-phase":
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if when == "at-the-end-of-the-phase":
            here.egress.quiet()
        event = here.settled(host="a.example.org")
        assert (event["decision"], event["address"]) == ("allow", "93.184.215.14")
