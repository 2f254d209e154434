"""Requests through the proxy's port: who may, what arrives, and what comes back."""

import contextlib
import hashlib
import socket
import struct
import threading
import time

import pytest

from tests.integration.egress.place import Conn, Origin, answering, get, place, wait_for

A = ("a.example.org", 80)
URL = "http://a.example.org/x"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"


def test_curl_and_one_decision_per_request() -> None:
    """On one kept connection: allowed, refused by its host, allowed again; the server sees one connection and two requests."""
    origin = Origin(answering())
    with place({A: origin}, allow=["http://a.example.org"]) as here, here.connect() as client:
        done = here.curl("http://a.example.org/x", "http://b.example.org/", "http://a.example.org/y")
        assert (done.stdout[:6], done.stdout[-7:]) == (b"hello{", b"}\nhello")
        assert client.ask(get(URL)).body == b"hello"
        refused = client.ask(get("http://b.example.org/secret?x=1"))
        assert client.ask(get(URL)).body == b"hello"
    assert (refused.status, refused.headers["x-aienv-denied"]) == (403, "not-allowed")
    assert refused.denial["allow_with"] == {
        "flag": "--allow-host b.example.org:80", "yaml": "network: {allow: [b.example.org:80]}"
    }  # fmt: skip
    assert refused.denial["allowed"] == ["a.example.org:80"]
    assert "--allow-host b.example.org:80" in refused.reason
    assert [bytes(log).count(b"GET ") for log in origin.received] == [2, 2]
    assert here.looked_up == ["a.example.org"]  # the name of a refused host is told to nobody
    assert here.net(decision="deny", host="b.example.org")[1]["path"] == "/secret"
    assert [(row.host, row.requests) for row in here.use().allowed] == [("a.example.org", 4)]
    assert [(row.host, row.port, row.count) for row in here.use().denied] == [("b.example.org", 80, 2)]


def test_what_arrives_is_written_anew() -> None:
    """Host is the address's; what is for us stays here; all else arrives in its order."""
    origin = Origin(answering())
    with place({A: origin}, allow=["http://a.example.org"]) as here, here.connect() as client:
        client.ask(
            b"GET HTTP://A.Example.ORG./p?q HTTP/1.1\r\nHost: evil.example.net\r\nProxy-Connection: keep-alive\r\nX-A:  1\r\n"
            b"Connection: x-gone\r\nX-Gone: 1\r\nProxy-Authorization: Basic eDp5\r\nCookie: c\r\n\r\n"
        )
    assert bytes(origin.received[0]) == b"GET /p?q HTTP/1.1\r\nHost: a.example.org\r\nX-A: 1\r\nCookie: c\r\n\r\n"


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        pytest.param("http://a.example.org:8080/", "port", id="port"),
        pytest.param("http://x.a.example.org/", "not-allowed", id="below"),
        pytest.param("http://93.184.215.14/", "address-literal", id="address"),
        pytest.param("http://2130706433/", "bad-host", id="decimal-address"),
        pytest.param("http://0x7f.1/", "bad-host", id="hex-address"),
        pytest.param("http://a.example.org@b.example.org/", "bad-host", id="user"),
        pytest.param("http://a.example.org%00.b.example.org/", "bad-host", id="nul"),
        pytest.param("http://a.example.org:80:443/", "bad-host", id="two-ports"),
        pytest.param("http://[::ffff:93.184.215.14]/", "bad-host", id="mapped"),
        pytest.param("http://127.0.0.1:3128/", "address-literal", id="loopback"),
        pytest.param("ftp://a.example.org/", "scheme", id="ftp"),
        pytest.param("http://loopback.example.org/", "address", id="name-of-loopback"),
        pytest.param("http://metadata.example.org/latest", "address", id="name-of-metadata"),
        pytest.param("http://private.example.org/", "address", id="name-of-private"),
    ],
)
def test_refused(url: str, rule: str) -> None:
    """Each with its rule; nothing is dialled, and only names that are allowed are looked up."""
    allow = [f"http://{name}.example.org" for name in ("a", "loopback", "metadata", "private")]
    with place(allow=allow) as here, here.connect() as client:
        answer = client.ask(get(url))
        assert (answer.status, answer.headers["x-aienv-denied"], answer.denial["rule"]) == (403, rule, rule)
        assert here.dialled == []
        assert (here.looked_up != []) == (rule == "address")
        assert client.ask(get(url)).status == 403  # the connection stays
    assert len(here.net(decision="deny", rule=rule)) == 2


def test_only_judged_addresses_are_dialled() -> None:
    """Of several those that are public, each in its turn; of a private one what the user has named."""
    origin = Origin(answering())
    with place({A: origin}, allow=["http://two.example.org", "http://mixed.example.org"]) as here:
        with here.connect() as client:
            assert client.ask(get("http://two.example.org/")).body == b"hello"
        with here.connect() as client:
            assert client.ask(get("http://mixed.example.org/")).body == b"hello"
    assert here.dialled == [("2606:2800:21f::99", 80), ("93.184.215.14", 80), ("93.184.215.14", 80)]
    origin = Origin(answering())
    with place({("private.example.org", 80): origin}, allow=["http://private.example.org"], private=["10.9.8.0/24"]) as here:
        with here.connect() as client:
            assert client.ask(get("http://private.example.org/")).body == b"hello"


@pytest.mark.parametrize(
    ("row", "denied"),
    [
        pytest.param("93.184.215.14", True, id="every-port"),
        pytest.param("93.184.215.14:80", True, id="this-port"),
        pytest.param("93.184.215.14:81", False, id="another-port"),
        pytest.param("93.184.215.15", False, id="another-address"),
        pytest.param("POST 93.184.215.14/x", True, id="some-requests"),
    ],
)
def test_a_denied_address_has_no_other_name(row: str, denied: bool) -> None:
    """Whoever has a name can let it lead anywhere: an address that a row denies is not dialled under any."""
    addresses = {
        "plain.example.org": ("93.184.215.14",),
        "nat64.example.org": ("64:ff9b::93.184.215.14",),
        "mapped.example.org": ("::ffff:93.184.215.14",),
    }
    with place(deny=[row], mode="open", addresses=addresses) as here, here.connect() as client:
        for name in addresses:
            answer = client.ask(get(f"http://{name}/"))
            assert (answer.status, answer.denial["rule"]) == ((403, "deny-rule") if denied else (502, "unreachable"))
        assert bool(here.dialled) is not denied


def test_a_denied_address_among_others() -> None:
    """The others are dialled."""
    origin = Origin(answering())
    with place({A: origin}, allow=["http://two.example.org"], deny=["[2606:2800:21f::99]"]) as here, here.connect() as client:
        assert client.ask(get("http://two.example.org/")).body == b"hello"
    assert here.dialled == [("93.184.215.14", 80)]


@pytest.mark.parametrize(("name", "rule"), [("unknown", "unresolved"), ("c", "unreachable")])
def test_servers_that_are_not_there(name: str, rule: str) -> None:
    """The client learns why, and it is no refusal."""
    with place(allow=[f"http://{name}.example.org"]) as here, here.connect() as client:
        answer = client.ask(get(f"http://{name}.example.org/"))
    assert (answer.status, answer.denial["error"], answer.denial["rule"]) == (502, "upstream failed", rule)
    assert "x-aienv-denied" not in answer.headers
    assert here.use().denied == ()


OVERRIDES = [
    "X-HTTP-Method-Override: DELETE", "x_http_method: PUT", "X-Method-Override: PATCH", "X-Original-URL: /admin", "X-Rewrite-URL: /admin",
]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "line"),
    [*(("", line) for line in OVERRIDES), ("?_method=DELETE", ""), ("?a=b&%5Fmethod=delete", ""), ("?x-http-method-override=PUT", "")],
)
def test_another_request_behind_the_judged_one(query: str, line: str) -> None:
    """Where a row asks for methods or paths, nothing may tell the server to act on others; elsewhere these are the server's matter."""
    allow = ["GET http://a.example.org/open/*", "http://b.example.org"]
    origins = {("a.example.org", 80): Origin(answering()), ("b.example.org", 80): Origin(answering())}
    with place(origins, allow=allow, deny=["http://c.example.org/admin"]) as here:
        lines = [line] if line else []
        with here.connect() as client:
            refusal = client.ask(get(f"http://a.example.org/open/x{query}", *lines)).denial
            assert refusal["rule"] == "method-or-path"
            assert "another method or path" in refusal["reason"]
            assert client.ask(get(f"http://b.example.org/open/x{query}", *lines)).status == 200
            assert client.ask(get("http://a.example.org/open/x?a_method=DELETE", "X-Method: DELETE")).status == 200
        assert len(origins["a.example.org", 80].received) == 1


def test_a_denied_path_behind_an_open_one() -> None:
    """The same where a row denies a path of a host that is open otherwise."""
    with place({("a.example.org", 80): Origin(answering())}, allow=["http://a.example.org"], deny=["http://a.example.org/admin/*"]) as here:
        with here.connect() as client:
            assert client.ask(get("http://a.example.org/x")).status == 200
            assert client.ask(get("http://a.example.org/x", "X-Original-URL: /admin/x")).denial["rule"] == "method-or-path"
            assert client.ask(get("http://a.example.org/admin;x/y")).denial["rule"] == "deny-rule"


class Resetting(Origin):
    """Takes connections and breaks each off at once."""

    def _one(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()


def test_a_server_that_resets_before_tls() -> None:
    """The client hears of it, and the log."""
    with place({("a.example.org", 443): Resetting(answering())}, allow=["a.example.org"]) as here:
        for _ in range(8):
            with here.connect() as client:
                assert client.ask(get("https://a.example.org/")).status == 502
        assert len(here.net(host="a.example.org", status=502)) == 8


def test_without_a_log_nothing_goes_out() -> None:
    """The request that met the full disk was the last; when there is room again, what was lost is counted and requests go on."""
    origin = Origin(answering())
    with place({("a.example.org", 80): origin}, allow=["http://a.example.org"]) as here:
        write = here.egress._usage._write

        def full(kind: str, facts: dict[str, object]) -> None:
            raise OSError(28, "No space left on device")

        with here.connect() as client:
            here.egress._usage._write = full
            assert client.ask(get("http://a.example.org/")).status == 200
            assert client.ask(get("http://a.example.org/")).denial["rule"] == "internal"
            with here.connect() as other:
                assert other.ask(b"CONNECT a.example.org:80 HTTP/1.1\r\nHost: a\r\n\r\n").denial["rule"] == "internal"
            here.egress._usage._write = write
            assert client.ask(get("http://a.example.org/")).status == 200
        assert [event["events"] for event in here.events if event["kind"] == "net.lost"] == [3]
    assert sum(bytes(log).count(b"GET /") for log in origin.received) == 2


def test_every_dialled_connection_is_in_the_log() -> None:
    """Also where the phase ends in the middle of it."""
    with place({("a.example.org", 80): Origin(Conn.rest)}, allow=["http://a.example.org"]) as here:
        with here.connect() as client:
            client.send(get("http://a.example.org/"))
            wait_for(lambda: bool(here.dialled))
            here.egress.quiet()
            assert len(here.net(host="a.example.org")) == 1


def test_methods_and_paths() -> None:
    """Where requests are visible, rules on them hold for each."""
    origin = Origin(answering())
    with place({A: origin}, allow=["GET http://a.example.org/repos/*"]) as here, here.connect() as client:
        assert client.ask(get("http://a.example.org/repos/x?y")).status == 200
        for url, method in (("/repos/x", "DELETE"), ("/other", "GET"), ("/repos/../other", "GET"), ("/repos/%2e%2e/other", "GET")):
            answer = client.ask(get(f"http://a.example.org{url}", method=method), method)
            assert (answer.status, answer.headers["x-aienv-denied"]) == (403, "method-or-path")
    assert bytes(origin.received[0]).count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    ("answer", "method", "body"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "GET", b"abc", id="length"),
        pytest.param(CHUNKED + b"2;x\r\nab\r\n1\r\nc\r\n0\r\nT: 1\r\n\r\n", "GET", b"abc", id="chunked"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HEAD", b"", id="head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD", b"", id="head-chunked"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", "GET", b"", id="204"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", "GET", b"", id="304"),
        pytest.param(EARLY + OK, "GET", b"ok", id="103"),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_ends_of_answers(answer: bytes, method: str, body: bytes, size: int) -> None:
    """Whatever the framing and however it is cut, the next request on the same connection is answered, too."""

    def script(conn: Conn) -> None:
        while conn.head():
            for start in range(0, len(answer), size):
                conn.send(answer[start : start + size])
                time.sleep(0.001 if size == 1 else 0)

    with place({A: Origin(script)}, allow=["http://a.example.org"]) as here, here.connect() as client:
        for _ in range(3):
            client.send(get(URL, method=method))
            if b" 103 " in answer:
                assert client.until(b"\r\n\r\n") == EARLY
            assert client.answer(method).body == body
    wait_for(lambda: len(here.net(status=int(answer[9:12]) if b" 103 " not in answer else 200)) == 3)


def test_an_answer_that_ends_with_the_connection() -> None:
    """The client learns its end in the same way; one of HTTP/1.0 also gets chunks taken apart."""

    def script(conn: Conn) -> None:
        if b"/close" in conn.head():
            conn.send(b"HTTP/1.1 200 OK\r\n\r\nabc")
            return
        conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        conn.head()

    with place({A: Origin(script)}, allow=["http://a.example.org"]) as here:
        with here.connect() as client:
            assert client.send(get("http://a.example.org/close")).rest() == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"
        with here.connect() as client:
            assert client.send(b"GET http://a.example.org/ HTTP/1.0\r\n\r\n").rest() == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", id="length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", id="chunked"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n", id="malformed"),
    ],
)
def test_an_answer_that_breaks_off(answer: bytes) -> None:
    """The client can tell: it gets no end that looks like one."""

    def script(conn: Conn) -> None:
        conn.head()
        conn.send(answer)

    with place({A: Origin(script)}, allow=["http://a.example.org"]) as here:
        done = here.curl(URL)
        with here.connect() as client:
            whole = client.send(get(URL)).rest()
    assert done.returncode in (18, 56)  # partial file, or reset
    assert not whole.endswith(b"0\r\n\r\n")
    assert b"failed" in str(here.net(status=502)[0]["reason"]).encode()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", id="cl-te"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabc", id="two-lengths"),
        pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 3\r\n\r\nabc", id="bare-lf"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000 + b"\r\n\r\n", id="long-head"),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", id="unasked-101"),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x28", id="tls"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 200, id="100-without-end"),
    ],
)
def test_answers_that_are_none(answer: bytes) -> None:
    """They become a 502 that says so, and the client's connection stays good."""

    def script(conn: Conn) -> None:
        conn.head()
        conn.send(answer)

    with place({A: Origin(script)}, allow=["http://a.example.org"]) as here, here.connect() as client:
        client.send(get(URL, method="POST"))
        while (found := client.answer()).status < 200:
            pass
        assert (found.status, found.denial["rule"]) == (502, "server")
        assert client.ask(get("http://b.example.org/")).status == 403


def test_nothing_said_unasked_is_an_answer() -> None:
    """What a server sends behind its answer, or before the next request, goes to nobody."""
    asked = threading.Event()

    def script(conn: Conn) -> None:
        while head := conn.head():
            if b"/poison" in head:
                conn.send(OK + FORGED)
            elif b"/late" in head:
                conn.send(OK)
                time.sleep(0.1)
                conn.send(FORGED)
                asked.set()
            else:
                conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue")

    with place({A: Origin(script)}, allow=["http://a.example.org"]) as here, here.connect() as client:
        for path in ("poison", "late"):
            assert client.ask(get(f"http://a.example.org/{path}")).body == b"ok"
            if path == "late":
                assert asked.wait(10)
                time.sleep(0.05)
            assert client.ask(get("http://a.example.org/next")).body == b"true"


def test_a_server_that_closes_an_idle_connection() -> None:
    """The next request finds another one: seen beforehand, or asked again where that does no harm."""
    origin = Origin(answering(times=1))
    with place({A: origin}, allow=["http://a.example.org"]) as here, here.connect() as client:
        for method in ("GET", "POST", "GET", "POST"):
            assert client.ask(get(URL, "Content-Length: 0", method=method)).body == b"hello"
            time.sleep(0.05)
    assert len(origin.received) == 4


def test_asked_again_once_only() -> None:
    """A server that closes when it is asked is asked again on a new connection only where the old one may have been closed before."""
    count = []

    def script(conn: Conn) -> None:
        count.append(conn.head())
        if len(count) == 1:
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            conn.head()

    with place({A: Origin(script)}, allow=["http://a.example.org"]) as here, here.connect() as client:
        assert client.ask(get(URL)).status == 200
        assert client.ask(get(URL)).status == 502  # once on the old connection, once on a new one
    assert len(count) == 2


# --- bodies


def digesting(conn: Conn) -> None:
    """Answers with the digest of each body, of a fixed length or in chunks."""
    while head := conn.head():
        digest = hashlib.sha256()
        if b"chunked" in head:
            while True:
                while b"\r\n" not in conn.data:
                    assert conn.more()
                line, _, conn.data = conn.data.partition(b"\r\n")
                digest.update(conn.exactly(int(line, 16)))
                assert conn.exactly(2) == b"\r\n"
                if int(line, 16) == 0:
                    break
        else:
            left = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            while left:
                piece = conn.exactly(min(left, 65536))
                digest.update(piece)
                left -= len(piece)
        body = digest.hexdigest().encode()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


@pytest.mark.parametrize("size", [0, 1, 70_000, 30_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_uploads(size: int, chunked: bool) -> None:
    """Small and large, of a fixed length and in chunks: every byte arrives, and the connection stays."""
    body = (bytes(range(256)) * (size // 256 + 1))[:size]
    with place({A: Origin(digesting)}, allow=["http://a.example.org"]) as here, here.connect() as client:
        for _ in range(2):
            head = get(URL, "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}", method="PUT")
            client.send(head)
            if not chunked:
                client.send(body)
            else:
                for start in range(0, size, 999_983):
                    piece = body[start : start + 999_983]
                    client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
                client.send(b"0\r\n\r\n")
            assert client.answer().body == hashlib.sha256(body).hexdigest().encode()
    assert here.net(status=200)[0]["out"] >= size


def test_expect_continue() -> None:
    """The server's 100 reaches the client before the body is sent; a refusal comes without the body."""

    def script(conn: Conn) -> None:
        assert b"Expect: 100-continue\r\n" in conn.head()
        assert conn.data == b""
        conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert conn.exactly(5) == b"hello"
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    origin = Origin(script)
    with place({A: origin}, allow=["http://a.example.org"]) as here:
        with here.connect() as client:
            client.send(get(URL, "Content-Length: 5", "Expect: 100-continue", method="POST"))
            assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert client.send(b"hello").answer().body == b"ok"
        with here.connect() as client:
            answer = client.ask(get("http://b.example.org/", "Content-Length: 5", "Expect: 100-continue", method="POST"))
            assert (answer.status, answer.headers["connection"]) == (403, "close")
        done = here.curl("--header", "Expect: 100-continue", "--data", "x" * 100, "http://b.example.org/", "--write-out", "%{http_code}")
        assert done.stdout.endswith(b"403")
    assert origin.problems == []


def test_an_answer_before_the_body_is_sent() -> None:
    """A server that refuses an upload early is heard; the rest of the body goes nowhere, and is no request."""

    def script(conn: Conn) -> None:
        conn.head()
        conn.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        time.sleep(0.3)

    origin = Origin(script)
    with place({A: origin}, allow=["http://a.example.org"]) as here, here.connect() as client:
        client.send(get(URL, "Content-Length: 100000000", method="POST") + b"x" * 100_000)
        time.sleep(0.2)
        client.send(b"x" * 3_000_000 + get(URL) * 3)  # who reads late must not find that the answer was lost
        answer = client.answer()
        assert (answer.status, answer.headers["connection"], answer.body) == (413, "close", b"big")
        assert client.ended()
    wait_for(lambda: len(origin.received) == 1)


def test_both_directions_at_once() -> None:
    """A server that answers while it still reads, and a client that waits for that before it sends on."""

    def script(conn: Conn) -> None:
        conn.head()
        conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(5):
            assert conn.exactly(6) == b"1\r\nx\r\n"
            conn.send(b"1\r\ny\r\n")
        assert conn.exactly(5) == b"0\r\n\r\n"
        conn.send(b"0\r\n\r\n")

    origin = Origin(script)
    with place({A: origin}, allow=["http://a.example.org"]) as here, here.connect() as client:
        client.send(get(URL, "Transfer-Encoding: chunked", method="POST"))
        client.until(b"\r\n\r\n")
        for _ in range(5):
            assert client.send(b"1\r\nx\r\n").exactly(6) == b"1\r\ny\r\n"
        assert client.send(b"0\r\n\r\n").exactly(5) == b"0\r\n\r\n"
    assert origin.problems == []


def test_events_arrive_when_they_are_sent() -> None:
    """Server-sent events, in chunks, of a fixed length, and until the end: each before the next one is sent."""
    heard = threading.Semaphore(0)

    def script(conn: Conn) -> None:
        head = conn.head()
        chunked, length = b"/chunked" in head, b"/length" in head
        framing = b"Transfer-Encoding: chunked\r\n" if chunked else b"Content-Length: 60\r\n" if length else b""
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + framing + b"\r\n")
        for number in range(5):
            event = b"data: %d\n\n123" % number
            conn.send(b"c\r\n%b\r\n" % event if chunked else event)
            assert heard.acquire(timeout=10)

    for path in ("chunked", "length", "close"):
        origin = Origin(script)
        with place({A: origin}, allow=["http://a.example.org"]) as here, here.connect() as client:
            client.send(get(f"http://a.example.org/{path}"))
            client.until(b"\r\n\r\n")
            for number in range(5):
                assert client.until(b"123").endswith(b"data: %d\n\n123" % number)
                heard.release()
        assert origin.problems == []


def test_a_client_that_leaves_ends_the_request() -> None:
    """The server sees the end: while it has not answered, and while it streams."""
    ended: list[str] = []

    def script(conn: Conn) -> None:
        if b"/stream" in conn.head():
            conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            with contextlib.suppress(OSError):
                while True:
                    conn.send(b"1\r\nx\r\n")
                    time.sleep(0.05)
            ended.append("stream")
        else:
            assert not conn.more()
            ended.append("wait")

    with place({A: Origin(script)}, allow=["http://a.example.org"]) as here:
        for path in ("wait", "stream"):
            with here.connect() as client:
                client.send(get(f"http://a.example.org/{path}"))
                if path == "stream":
                    client.until(b"\r\n\r\n")
                else:
                    wait_for(lambda: here.dialled != [])
            wait_for(lambda path=path: path in ended)  # type: ignore[misc]
        here.settled(path="/wait")
        here.settled(path="/stream")


def test_a_client_that_only_says_that_it_has_said_all() -> None:
    """Half a close looks like leaving; an answer that comes soon is passed on all the same."""
    def script(conn: Conn) -> None:
        conn.head()
        time.sleep(0.2)
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    with place({A: Origin(script)}, allow=["http://a.example.org"]) as here, here.connect() as client:
        client.send(get(URL)).sock.shutdown(socket.SHUT_WR)
        assert client.rest().endswith(b"ok")


def test_requests_in_one_piece() -> None:
    """Several requests sent at once are answered one after the other, each by its own decision."""
    origin = Origin(answering())
    with place({A: origin}, allow=["http://a.example.org"]) as here, here.connect() as client:
        client.send(get(URL) + get("http://b.example.org/") + get(URL) + get(URL, "Connection: close"))
        data = client.rest()
    assert [data.count(word) for word in (b"HTTP/1.1 200", b"HTTP/1.1 403")] == [3, 1]
    assert data.endswith(b"Connection: close\r\n\r\nhello")
    assert len(origin.received) == 1


def websocket(conn: Conn) -> None:
    head = conn.head()
    assert b"Connection: Upgrade\r\nUpgrade: websocket\r\n" in head
    if b"/no" in head:
        conn.send(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n")
        assert conn.head().startswith(b"GET /next ")
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return
    conn.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nfirst")
    while conn.more():
        data, conn.data = conn.data, b""
        conn.send(data.upper())


def test_websocket() -> None:
    """After the server's 101 bytes pass both ways, also such that came with the heads; after another answer requests go on."""
    origin = Origin(websocket)
    lines = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x")
    with place({A: origin}, allow=["http://a.example.org"]) as here:
        with here.connect() as client:
            client.send(get("http://a.example.org/ws", *lines) + b"early")
            assert client.until(b"\r\n\r\n") == (
                b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            )
            assert client.exactly(10) == b"firstEARLY"
            assert client.send(b"\x81\x05hello").exactly(7) == b"\x81\x05HELLO"
        with here.connect() as client:
            client.send(get("http://a.example.org/no", *lines) + get("http://a.example.org/next"))
            assert [client.until(b"\r\n\r\n")[9:12] for _ in range(2)] == [b"400", b"200"]
        event = here.settled(path="/ws")
    assert (event["status"], event["out"] > 10, event["in"] > 10) == (101, True, True)
    assert origin.problems == []


def test_python_clients() -> None:
    """Python's own client, over the proxy's address."""
    import urllib.error
    import urllib.request

    with place({A: Origin(answering())}, allow=["http://a.example.org"]) as here:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": f"http://127.0.0.1:{here.proxy}"}))
        assert opener.open(URL, timeout=10).read() == b"hello"
        with pytest.raises(urllib.error.HTTPError) as caught:
            opener.open("http://b.example.org/", timeout=10)
        assert (caught.value.code, caught.value.headers["X-Aienv-Denied"]) == (403, "not-allowed")
        with pytest.raises(urllib.error.URLError) as tunnel:
            urllib.request.build_opener(urllib.request.ProxyHandler({"https": f"http://127.0.0.1:{here.proxy}"})).open(
                "https://b.example.org/", timeout=10
            )
        assert "403 Blocked by aienv: not-allowed (allow with --allow-host b.example.org)" in str(tunnel.value)


def test_a_proxy_is_no_server() -> None:
    """Asked for a page of its own it says what it is; there is nothing to manage."""
    with place(allow=["http://a.example.org"]) as here, here.connect() as client:
        answer = client.ask(b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert (answer.status, "this is a proxy" in answer.denial["reason"]) == (400, True)
        assert client.ended()
