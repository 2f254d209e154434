"""Clients that mean harm: requests hidden in requests, slow ones, many, and those that never read."""

import os
import resource
import socket
import threading
import time

import pytest

from orchestrator.egress.usage import MAX_EVENTS, OTHERS
from tests.integration.egress.place import Client, Conn, Origin, answering, get, place, wait_for

A = ("a.example.org", 80)
HIDDEN = b"GET http://b.example.org/hidden HTTP/1.1\r\nHost: b.example.org\r\n\r\n"
POST = b"POST http://a.example.org/x HTTP/1.1\r\nHost: a.example.org\r\n"


def reading(conn: Conn) -> None:
    """A server that takes everything for the body of the first request, and answers at the end."""
    conn.sock.settimeout(0.3)
    try:
        while conn.more():
            pass
    except TimeoutError:
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


SMUGGLED = [
    pytest.param(POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN, id="cl-te"),
    pytest.param(POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + HIDDEN, id="te-cl"),
    pytest.param(POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n" + HIDDEN, id="te-te"),
    pytest.param(POST + b"Transfer-Encoding: xchunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + HIDDEN, id="xchunked"),
    pytest.param(POST + b"Transfer-Encoding : chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + HIDDEN, id="blank-before-colon"),
    pytest.param(POST + b"Transfer-Encoding:\x0bchunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + HIDDEN, id="vertical-tab"),
    pytest.param(POST + b"X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + HIDDEN, id="folded"),
    pytest.param(POST + b"X: y\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + HIDDEN, id="bare-lf"),
    pytest.param(POST + b"X: y\rTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + HIDDEN, id="bare-cr"),
    pytest.param(POST + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + HIDDEN, id="cl-cl"),
    pytest.param(POST + b"Content-Length: 0, 44\r\n\r\n" + HIDDEN, id="cl-list"),
    pytest.param(POST + b"Content-Length: +0\r\n\r\n" + HIDDEN, id="cl-plus"),
    pytest.param(POST + b"Content_Length: 44\r\n\r\n" + HIDDEN, id="underscore"),
    pytest.param(POST + b"X: \0\r\n\r\n" + HIDDEN, id="nul"),
    pytest.param(b"GET http://a.example.org/ HTTP/1.1\r\nHost: a.example.org\r\nHost: b.example.org\r\n\r\n", id="two-hosts"),
    pytest.param(b"GET http://a.example.org/ HTTP/1.1\nHost: a.example.org\n\n" + HIDDEN, id="line-feeds"),
    pytest.param(b"GET http://a.example.org/\r\n" + HIDDEN, id="0.9"),
    pytest.param(b"GET http://a.example.org/x y HTTP/1.1\r\nHost: a.example.org\r\n\r\n", id="blank-in-target"),
    pytest.param(b"GET http://a.example.org/\rX HTTP/1.1\r\nHost: a.example.org\r\n\r\n", id="cr-in-target"),
    pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="http2"),
    pytest.param(b"TRACE http://a.example.org/ HTTP/1.1\r\nHost: a.example.org\r\n\r\n", id="trace"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="tls-to-the-proxy"),
]


@pytest.mark.parametrize("data", SMUGGLED)
def test_requests_hidden_in_requests(data: bytes) -> None:
    """Refused before anything is dialled; the connection ends, so nothing behind it is ever read as a request."""
    with place({A: Origin(reading)}, allow=["http://a.example.org"]) as here, here.connect() as client:
        answer = client.ask(data)
        assert 400 <= answer.status <= 505
        assert answer.headers["connection"] == "close"
        assert client.ended()
        assert here.dialled == []
        assert here.settled(decision="deny")["rule"] == "protocol"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"5\r\nhelloX\r\n0\r\n\r\n" + HIDDEN, id="longer-chunk"),
        pytest.param(b"5;\n\r\nhello\r\n0\r\n\r\n" + HIDDEN, id="line-feed-in-extension"),
        pytest.param(b"0x5\r\nhello\r\n0\r\n\r\n" + HIDDEN, id="0x"),
        pytest.param(b"5\nhello\r\n0\r\n\r\n" + HIDDEN, id="bare-lf"),
        pytest.param(b"0\r\nX : y\r\n\r\n" + HIDDEN, id="trailer"),
        pytest.param(b"ffffffffffffffff5\r\nhello\r\n0\r\n\r\n" + HIDDEN, id="overflow"),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_hidden_in_chunks(body: bytes, at_once: bool) -> None:
    """A body that turns out to be none ends the connection on both sides; the server never sees its end, nor what is behind it."""
    origin = Origin(reading)
    with place({A: origin}, allow=["http://a.example.org"]) as here, here.connect() as client:
        client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + (body if at_once else b""))
        if not at_once:
            wait_for(lambda: here.dialled != [])
            client.send(body)
        assert b"200 OK" not in client.rest()
    seen = b"".join(bytes(log) for log in origin.received)
    assert b"hidden" not in seen
    assert b"0\r\n\r\n" not in seen


def test_what_a_server_takes_for_two_is_one() -> None:
    """Bytes behind a body are the next request, judged by itself, whatever they look like."""
    origin = Origin(answering())
    with place({A: origin}, allow=["http://a.example.org"]) as here, here.connect() as client:
        client.send(POST + b"Content-Length: 0\r\n\r\n" + HIDDEN + POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN)
        statuses = [client.until(b"\r\n\r\n")[9:12]]
        client.exactly(5)
    assert statuses == [b"200"]
    assert b"hidden" not in b"".join(bytes(log) for log in origin.received)


def test_slow_heads() -> None:
    """A head gets its time and no more, however steadily it trickles; an idle connection gets its own; others are served meanwhile."""
    with place({A: Origin(answering())}, allow=["http://a.example.org"]) as here:
        slow = [here.connect() for _ in range(20)]
        idle = here.connect()
        began = time.monotonic()
        stop = threading.Event()

        def trickle() -> None:
            text = get("http://a.example.org/" + "x" * 500)
            for number in range(len(text)):
                for client in slow:
                    try:
                        client.send(text[number : number + 1])
                    except OSError:
                        return
                if stop.wait(0.05):
                    return

        thread = threading.Thread(target=trickle)
        thread.start()
        with here.connect() as client:
            assert client.ask(get("http://a.example.org/")).body == b"hello"
        for client in slow:
            assert client.rest().startswith(b"HTTP/1.1 408 ")
        assert idle.ended()
        assert time.monotonic() - began < 15
        stop.set()
        thread.join()
        for client in (*slow, idle):
            client.sock.close()


def test_many_at_once() -> None:
    """Two hundred connections, each with its own request under way, are served side by side; descriptors come back."""
    gate = threading.Barrier(201, timeout=60)

    def script(conn: Conn) -> None:
        head = conn.head()
        gate.wait()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + head.partition(b"/n")[2][:3])

    before = len(os.listdir("/proc/self/fd"))
    origin = Origin(script)
    with place({A: origin}, allow=["http://a.example.org"]) as here:
        clients = [here.connect().send(get(f"http://a.example.org/n{number}")) for number in range(100, 300)]
        gate.wait()
        answers = [client.answer().body for client in clients]
        assert answers == [str(number).encode() for number in range(100, 300)]
        for client in clients:
            client.sock.close()
        wait_for(lambda: len(here.net()) == 200)
    wait_for(lambda: len(os.listdir("/proc/self/fd")) <= before + 5)
    assert origin.problems == []


def test_more_than_there_is_room_for() -> None:
    """Those beyond the limit wait in the backlog until others end; nobody is turned away."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with place({A: Origin(answering())}, allow=["http://a.example.org"]) as here:
        limit = here.egress._limit
        assert limit >= 16
        held = [here.connect() for _ in range(limit)]
        with here.connect() as late:
            late.send(get("http://a.example.org/"))
            late.sock.settimeout(0.3)
            with pytest.raises(TimeoutError):
                late.recv()
            late.sock.settimeout(20)
            held.pop().sock.close()
            assert late.answer().body == b"hello"
        for client in held:
            client.sock.close()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def resident_kib() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def flood(conn: Conn) -> None:
    """As much as is taken, in chunks."""
    conn.head()
    conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = b"%x\r\n%b\r\n" % (1 << 16, bytes(1 << 16))
    while True:
        conn.send(piece)


def test_memory_stays_flat() -> None:
    """Fifty downloads that nobody reads, and one large one through chunks: what is held is a piece for each."""
    with place({A: Origin(flood)}, allow=["http://a.example.org"]) as here:
        stuck = [here.connect().send(get("http://a.example.org/")) for _ in range(50)]
        wait_for(lambda: len(here.dialled) == 50)
        time.sleep(0.5)
        before = resident_kib()
        with here.connect() as client:
            client.send(get("http://a.example.org/"))
            total = 0
            while total < 200_000_000:
                total += len(client.recv(1 << 20))
        assert resident_kib() - before < 40_000
        for client in stuck:
            client.sock.close()
        wait_for(lambda: len(here.net()) == 51)


def test_refusals_without_end() -> None:
    """Events are bounded, rows are bounded, and nothing is lost to the counts."""
    with place(allow=["http://a.example.org"]) as here, here.connect() as client:
        count = MAX_EVENTS + 500
        reader = threading.Thread(target=drain, args=(client, count))
        reader.start()
        for number in range(count):
            client.send(get(f"http://h{number}.example.net/" + "p" * 200))
        reader.join(60)
        assert not reader.is_alive()
        here.egress.quiet()
        use = here.use()
    assert len(here.net()) == MAX_EVENTS
    assert sum(row.count for row in use.denied) == count
    assert len(use.denied) <= 2001
    assert use.denied[0].host == OTHERS
    summary = here.events[-1]
    assert summary["kind"] == "net.summary"
    assert sum(row[4] for row in summary["beyond"]["denied"]) == 500
    assert len(str(summary)) < 200_000


def drain(client: Client, count: int) -> None:
    seen, rest = 0, b""
    while seen < count:
        data = rest + client.recv(1 << 20)
        seen += data.count(b"HTTP/1.1 403")
        rest = data[data.rfind(b"HTTP/1.1 403") + 1 :][-20:] if data else b""


def test_a_client_that_never_reads_its_refusals() -> None:
    """It stops being read, too; the phase ends all the same."""
    with place(allow=["http://a.example.org"]) as here, here.connect() as client:
        client.sock.settimeout(1.0)
        sent = 0
        try:
            while sent < 100_000_000:
                sent += client.sock.send(get("http://b.example.org/") * 100)
        except (TimeoutError, ConnectionError):
            pass
        assert sent < 50_000_000
        here.egress.quiet()


def test_broken_listeners_of_others() -> None:
    """A listener of an unknown kind is refused, and nothing of it is served."""
    from orchestrator.egress.server import EgressFailed

    with place() as here, socket.create_server(("127.0.0.1", 0)) as odd:
        with pytest.raises(EgressFailed, match="unknown listeners"):
            here.egress.listen("agent", {"socks": odd})
        assert here.curl("http://a.example.org/").stdout.startswith(b"{")
