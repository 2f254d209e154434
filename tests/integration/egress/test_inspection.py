"""TLS that is looked into, and the gateway: requests are judged one by one, credentials go in, and nothing of them comes back."""

import base64
import contextlib
import gzip
import ssl
import subprocess
from dataclasses import replace

import pytest

from orchestrator.egress.standins import BoundSecret
from orchestrator.model.network import Gateway, GitRepo
from tests.integration.egress.conftest import Authority
from tests.integration.egress.place import Client, Conn, Origin, Place, answering, get, place, wait_for

A, B = ("a.example.org", 443), ("b.example.org", 443)
VALUE, STAND_IN = "sk-ant-api03-RealRealRealRealRealReal", "sk-ant-api03-FakeFakeFakeFakeFakeFake"
SECRET = BoundSecret("KEY", STAND_IN, VALUE, ("a.example.org",), ("agent",))


def inside(here: Place, own: Authority, host: str = "a.example.org") -> Client:
    """A client in TLS that ends at egress."""
    client = here.connect().tunnel(f"{host}:443")
    return Client(own.client().wrap_socket(client.sock, server_hostname=host))


def request(*lines: str, method: str = "GET", path: str = "/x", host: str = "a.example.org") -> bytes:
    return "".join([f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n", *(f"{line}\r\n" for line in lines), "\r\n"]).encode("latin-1")


def test_requests_inside_tls(world: Authority, own: Authority) -> None:
    """Judged by method and path, forwarded over TLS that is verified; a client that offers HTTP/2 gets HTTP/1.1."""
    origin = Origin(answering(), tls=world.server("a.example.org"))
    allow = ["GET a.example.org/ok*"]
    with place({A: origin}, allow=allow, leaves=[own.leaf("a.example.org")], upstream_ca=world.ca) as here:
        done = here.curl("--cacert", str(own.ca), "https://a.example.org/ok?q=1", "https://a.example.org/no", "https://a.example.org/ok2")
        assert (done.stdout[:6], done.stdout[-7:]) == (b"hello{", b"}\nhello")
        words = ["openssl", "s_client", "-proxy", f"127.0.0.1:{here.proxy}", "-connect", "a.example.org:443", "-servername"]
        words += ["a.example.org", "-CAfile", str(own.ca), "-verify_return_error", "-alpn", "h2,http/1.1"]
        shown = subprocess.run(words, input=b"", capture_output=True, timeout=30, check=False)
        assert b"ALPN protocol: http/1.1" in shown.stdout
    assert sum(bytes(log).count(b"GET /ok") for log in origin.received) == 2
    (refused,) = here.net(decision="deny")
    assert (refused["scheme"], refused["rule"], refused["path"]) == ("https", "method-or-path", "/no")
    assert [(event["path"], event["status"]) for event in here.net(decision="allow", scheme="https")][:2] == [("/ok", 200), ("/ok2", 200)]
    assert len(here.net(decision="allow", scheme="connect")) == 1  # the tunnel in which nothing was asked


def test_another_host_inside(world: Authority, own: Authority) -> None:
    """Neither the Host header nor the name in TLS may be another one than that of the tunnel."""
    origin, other = Origin(answering(), tls=world.server("a.example.org")), Origin(answering(), tls=world.server("b.example.org"))
    leaves = [own.leaf("a.example.org"), own.leaf("b.example.org")]
    with place({A: origin, B: other}, allow=["GET a.example.org", "GET b.example.org"], leaves=leaves, upstream_ca=world.ca) as here:
        with inside(here, own) as client:
            answer = client.ask(request(host="b.example.org"))
            assert (answer.status, answer.headers["x-aienv-denied"]) == (403, "host-header")
            assert client.ask(request()).body == b"hello"
        raw = here.connect().tunnel("a.example.org:443")
        with pytest.raises(ssl.SSLError, match="ACCESS_DENIED"):
            own.client().wrap_socket(raw.sock, server_hostname="b.example.org")
    assert here.dialled.count(("93.184.215.15", 443)) == 0


def test_a_server_that_is_another(world: Authority, own: Authority) -> None:
    """Its certificate is verified as the user's own programs would: by name, and by who signed it."""
    wrong = Origin(answering(), tls=world.server("b.example.org"))
    unknown = Origin(answering(), tls=own.server("b.example.org"))
    leaves = [own.leaf("a.example.org"), own.leaf("b.example.org")]
    with place({A: wrong, B: unknown}, allow=["GET a.example.org", "GET b.example.org"], leaves=leaves, upstream_ca=world.ca) as here:
        with inside(here, own) as client:
            answer = client.ask(request())
            assert (answer.status, answer.denial["rule"]) == (502, "tls")
            assert "not valid for" in answer.denial["reason"]
        with inside(here, own, "b.example.org") as client:
            answer = client.ask(request(host="b.example.org"))
            assert (answer.status, "not trusted" in answer.denial["reason"]) == (502, True)
    assert b"GET" not in b"".join(bytes(log) for log in wrong.received + unknown.received)


def test_without_a_certificate_nothing_goes(world: Authority, own: Authority) -> None:
    """A host that is to be looked into, and cannot be, is refused; a client that does not trust the run's authority is told of."""
    origin = Origin(answering(), tls=world.server("a.example.org"))
    with place({A: origin}, allow=["GET a.example.org"], upstream_ca=world.ca) as here, here.connect() as client:
        answer = client.ask(b"CONNECT a.example.org:443 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (answer.status, answer.headers["x-aienv-denied"]) == (403, "internal")
    assert here.dialled == []
    origin = Origin(answering(), tls=world.server("a.example.org"))
    with place({A: origin}, allow=["GET a.example.org"], leaves=[own.leaf("a.example.org")], upstream_ca=world.ca) as here:
        done = here.curl("--cacert", str(world.ca), "https://a.example.org/")
        assert done.returncode == 60
        assert here.settled(decision="deny")["rule"] == "tls-client"


def test_the_real_value_goes_in_and_not_back(world: Authority, own: Authority) -> None:
    """Only in headers that carry credentials, only to its host; an answer that repeats it shows the stand-in."""
    def script(conn: Conn) -> None:
        while head := conn.head():
            value = head.lower().partition(b"x-api-key: ")[2].partition(b"\r\n")[0]
            seen = VALUE.encode() if value == VALUE.lower().encode() else b"?"
            chunked = b"/chunked" in head
            framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (len(seen) + 4)
            conn.send(b"HTTP/1.1 103 " + seen + b"\r\nLink: " + seen + b"\r\n\r\n")
            conn.send(b"HTTP/1.1 200 " + seen + b"\r\nX-Seen: " + seen + b"\r\n" + framing + b"\r\n\r\n")
            if chunked:
                half = len(seen) // 2
                conn.send(b"%x\r\n%b\r\n" % (half + 2, b"<<" + seen[:half]))
                conn.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(seen) - half + 2, seen[half:] + b">>"))
            else:
                conn.send(b"<<" + seen + b">>")

    origin = Origin(script, tls=world.server("a.example.org"))
    setting = {"allow": ["a.example.org"], "inspect": ["a.example.org"], "leaves": [own.leaf("a.example.org")], "secrets": [SECRET]}
    with place({A: origin}, upstream_ca=world.ca, **setting) as here, inside(here, own) as client:  # type: ignore[arg-type]
        for path in ("/plain", "/chunked"):
            client.send(request(f"X-Api-Key: {STAND_IN}", "Accept-Encoding: gzip, br", path=path))
            assert client.until(b"\r\n\r\n") == f"HTTP/1.1 103 {STAND_IN}\r\nLink: {STAND_IN}\r\n\r\n".encode()
            answer = client.answer()
            assert (answer.reason, answer.headers["x-seen"], answer.body) == (STAND_IN, STAND_IN, f"<<{STAND_IN}>>".encode())
        client.send(request()).until(b"\r\n\r\n")
        assert client.answer().headers["x-seen"] == "?"
        assert here.use().credentials == (("KEY", "a.example.org", 2),)
    log = bytes(origin.received[0])
    assert log.count(b"Accept-Encoding: identity\r\n") == log.count(VALUE.encode()) == 2
    assert VALUE not in str(here.events)
    assert STAND_IN not in str(here.events)


def test_the_real_value_comes_back_in_no_head(world: Authority, own: Authority) -> None:
    """Neither in an answer before the answer, nor in the words of a status line."""
    def script(conn: Conn) -> None:
        while conn.head():
            value = VALUE.encode()
            conn.send(b"HTTP/1.1 103 Early " + value + b"\r\nLink: " + value + b"\r\n\r\n")
            conn.send(b"HTTP/1.1 401 Bad key " + value + b"\r\nContent-Length: 0\r\nX-Seen: " + value + b"\r\n\r\n")

    setting = {"allow": ["a.example.org"], "inspect": ["a.example.org"], "leaves": [own.leaf("a.example.org")], "secrets": [SECRET]}
    origin = Origin(script, tls=world.server("a.example.org"))
    with place({A: origin}, upstream_ca=world.ca, **setting) as here, inside(here, own) as client:  # type: ignore[arg-type]
        client.send(request(f"X-Api-Key: {STAND_IN}"))
        heads = client.until(b"\r\n\r\n") + client.until(b"\r\n\r\n")
        assert heads.count(STAND_IN.encode()) == 4
        assert VALUE.encode() not in heads


@pytest.mark.parametrize(
    ("lines", "path"),
    [
        pytest.param((f"X-Anything: {STAND_IN}",), "/x", id="other-header"),
        pytest.param((f"Origin: https://{STAND_IN}",), "/x", id="origin"),
        pytest.param((), f"/x?key={STAND_IN}", id="query"),
        pytest.param((), f"/{STAND_IN}/x", id="path"),
        pytest.param((), f"/x?key={base64.b64encode(STAND_IN.encode()).decode()}", id="base64-in-query"),
    ],
)
def test_a_stand_in_where_it_does_not_belong(world: Authority, own: Authority, lines: tuple[str, ...], path: str) -> None:
    """Nothing is forwarded; the event names the credential, not the stand-in."""
    origin = Origin(answering(), tls=world.server("a.example.org"))
    setting = {"allow": ["a.example.org"], "inspect": ["a.example.org"], "leaves": [own.leaf("a.example.org")], "secrets": [SECRET]}
    with place({A: origin}, upstream_ca=world.ca, **setting) as here, inside(here, own) as client:  # type: ignore[arg-type]
        answer = client.ask(request(*lines, path=path))
        assert (answer.status, answer.headers["x-aienv-denied"]) == (403, "stand-in")
        assert [event for event in here.events if event["kind"] == "cred"] == [
            {"kind": "cred", "phase": "agent", "name": "KEY", "host": "a.example.org", "outcome": "refused"}
        ]
    assert b"GET" not in b"".join(bytes(log) for log in origin.received)


def test_a_stand_in_for_another_place(world: Authority, own: Authority) -> None:
    """Another host, plain HTTP, another phase: refused each time, with the reason. Bound to port 80 it may go in the clear."""
    plain, other = Origin(answering()), Origin(answering(), tls=world.server("b.example.org"))
    header = f"Authorization: Bearer {STAND_IN}"
    origins = {("a.example.org", 80): plain, B: other}
    setting = {
        "allow": ["http://a.example.org", "a.example.org:8080", "b.example.org"], "inspect": ["b.example.org"],
        "leaves": [own.leaf("b.example.org")], "upstream_ca": world.ca,
    }  # fmt: skip
    with place(origins, secrets=[SECRET], **setting) as here:  # type: ignore[arg-type]
        with here.connect() as client:
            answer = client.ask(get("http://a.example.org/", header))
            assert (answer.headers["x-aienv-denied"], "not bound to a.example.org:80" in answer.denial["reason"]) == ("stand-in", True)
            assert "over TLS only" in client.ask(get("http://a.example.org:8080/", header)).denial["reason"]
            assert client.ask(get(f"http://evil.example.net/{STAND_IN}")).headers["x-aienv-denied"] == "not-allowed"
            assert client.ask(get("http://evil.example.net/", f"X-Token: {STAND_IN}")).headers["x-aienv-denied"] == "not-allowed"
            assert [event["host"] for event in here.events if event["kind"] == "cred"] == ["a.example.org"] * 2 + ["evil.example.net"] * 2
        with inside(here, own, "b.example.org") as client:
            answer = client.ask(request(header, host="b.example.org"))
            assert "not bound to b.example.org:443" in answer.denial["reason"]
        with here.connect() as client:
            connect = f"CONNECT {STAND_IN}.b.example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            assert client.ask(connect).headers["x-aienv-denied"] == "stand-in"
    bound = replace(SECRET, hosts=("a.example.org:80",))
    plain = Origin(answering())
    with place({("a.example.org", 80): plain}, allow=["http://a.example.org"], secrets=[bound]) as here, here.connect() as client:
        assert client.ask(get("http://a.example.org/", header)).status == 200
    assert VALUE.encode() in bytes(plain.received[0])
    setup = replace(bound, phases=("setup",))
    plain = Origin(answering())
    with place({("a.example.org", 80): plain}, allow=["http://a.example.org"], secrets=[setup]) as here, here.connect() as client:
        assert "not for the phase 'agent'" in client.ask(get("http://a.example.org/", header)).denial["reason"]


def test_a_repeated_basic_header(world: Authority, own: Authority) -> None:
    """A body that shows ``Authorization: Basic`` as it arrived, which many test services do, shows the stand-in's."""
    def script(conn: Conn) -> None:
        while head := conn.head():
            seen = head.partition(b"Basic ")[2].partition(b"\r\n")[0]
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(seen) + seen)

    origin = Origin(script, tls=world.server("a.example.org"))
    setting = {"allow": ["a.example.org"], "inspect": ["a.example.org"], "leaves": [own.leaf("a.example.org")], "secrets": [SECRET]}
    sent = base64.b64encode(f"user:{STAND_IN}".encode())
    with place({A: origin}, upstream_ca=world.ca, **setting) as here, inside(here, own) as client:  # type: ignore[arg-type]
        assert client.ask(request(f"Authorization: Basic {sent.decode()}")).body == sent
    assert base64.b64encode(f"user:{VALUE}".encode()) in bytes(origin.received[0])


def test_git_where_no_repository_is_named(world: Authority, own: Authority) -> None:
    """A credential of a service whose API and git share a host serves no fetch and no push; its API it does serve."""
    origin = Origin(answering(), tls=world.server("a.example.org"))
    setting = {"allow": ["a.example.org"], "inspect": ["a.example.org"], "leaves": [own.leaf("a.example.org")], "secrets": [SECRET]}
    login = "Authorization: Basic " + base64.b64encode(f"oauth2:{STAND_IN}".encode()).decode()
    with place({A: origin}, upstream_ca=world.ca, **setting) as here, inside(here, own) as client:  # type: ignore[arg-type]
        for path in ("/team/app.git/info/refs?service=git-receive-pack", "/team/app.git/git%2Dreceive-pack"):
            answer = client.ask(request(login, path=path))
            assert (answer.status, answer.headers["x-aienv-denied"]) == (403, "git")
        assert client.ask(request(login, path="/api/v4/projects")).status == 200
        assert client.ask(request(path="/team/app.git/info/refs?service=git-upload-pack")).status == 200
    assert bytes(origin.received[0]).count(b"info/refs") == 1


def test_compressed_answers_pass_as_they_are(world: Authority, own: Authority) -> None:
    """A server that compresses although it was asked not to is not read wrongly."""
    packed = gzip.compress(b"hello" * 1000)
    origin = Origin(answering(packed, headers=b"Content-Encoding: gzip\r\n"), tls=world.server("a.example.org"))
    setting = {"allow": ["a.example.org"], "inspect": ["a.example.org"], "leaves": [own.leaf("a.example.org")], "secrets": [SECRET]}
    with place({A: origin}, upstream_ca=world.ca, **setting) as here, inside(here, own) as client:  # type: ignore[arg-type]
        assert client.ask(request(f"X-Api-Key: {STAND_IN}")).body == packed


def test_gateway(world: Authority) -> None:
    """A base address in plain HTTP inside, TLS outside; judged as any request is; redirects are the client's to follow."""
    origin = Origin(answering(headers=b"Location: https://b.example.org/\r\n"), tls=world.server("a.example.org"))
    plain = Origin(answering(b"plain"))
    gateways = [
        Gateway("svc", "a.example.org", 443, "", ()), Gateway("deep", "a.example.org", 443, "/v1", ()),
        Gateway("plain", "c.example.org", 80, "", ()), Gateway("off", "b.example.org", 443, "", ()),
    ]  # fmt: skip
    with place(
        {A: origin, ("c.example.org", 80): plain}, allow=["GET,POST a.example.org", "http://c.example.org"], gateways=gateways,
        secrets=[SECRET], upstream_ca=world.ca,
    ) as here:  # fmt: skip
        with here.connect(here.gateway) as client:
            answer = client.ask(request(f"X-Api-Key: {STAND_IN}", path="/svc/a//b?c=d", host="127.0.0.1:3129"))
            assert (answer.status, answer.headers["location"]) == (200, "https://b.example.org/")
            assert client.ask(request(path="/deep/models")).status == 200
            assert client.ask(request(path="/plain/x")).body == b"plain"
            assert client.ask(request(path="/svc")).status == 200
            for path, rule in (("/off/x", "not-allowed"), ("/deep/../admin", "method-or-path"), ("/deep/%2e%2e/admin", "method-or-path")):
                answer = client.ask(request(path=path))
                assert (answer.status, answer.headers["x-aienv-denied"]) == (403, rule)
            assert client.ask(request(path="/svc/x", method="DELETE")).headers["x-aienv-denied"] == "method-or-path"
            answer = client.ask(request(path="/nothing/x"))
            assert (answer.status, sorted(answer.denial["services"])) == (404, ["deep", "off", "plain", "svc"])
            assert client.ended()
        for path in ("http://a.example.org/svc/x", "/"):
            with here.connect(here.gateway) as client:
                assert client.ask(request(path=path)).status in (400, 404)
        with here.connect(here.gateway) as client:
            assert client.ask(b"CONNECT a.example.org:443 HTTP/1.1\r\nHost: a\r\n\r\n").status == 405
        with here.connect() as client:
            assert client.ask(request(path="/svc/x")).status == 400  # the proxy's port is no gateway
    lines = [line for line in bytes(origin.received[0]).split(b"\r\n") if b"HTTP/1.1" in line]
    assert lines == [b"GET /a//b?c=d HTTP/1.1", b"GET /v1/models HTTP/1.1"]
    assert f"X-Api-Key: {VALUE}".encode() in bytes(origin.received[0])


def test_whole_addresses_with_https(world: Authority) -> None:
    """Some clients ask a proxy for ``https://`` in the clear, as for ``http://``."""
    origin = Origin(answering(), tls=world.server("a.example.org"))
    with place({A: origin}, allow=["a.example.org"], upstream_ca=world.ca) as here, here.connect() as client:
        assert client.ask(get("https://a.example.org/x")).body == b"hello"
        assert here.settled(scheme="https")["port"] == 443


def test_websocket_inside_tls(world: Authority, own: Authority) -> None:
    """Bytes both ways, with the credential in the request."""
    def script(conn: Conn) -> None:
        assert VALUE.encode() in conn.head()
        conn.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi")
        data = conn.exactly(200_000)
        conn.send(data[::-1])

    origin = Origin(script, tls=world.server("a.example.org"))
    setting = {"allow": ["a.example.org"], "inspect": ["a.example.org"], "leaves": [own.leaf("a.example.org")], "secrets": [SECRET]}
    body = bytes(range(200)) * 1000
    with place({A: origin}, upstream_ca=world.ca, **setting) as here, inside(here, own) as client:  # type: ignore[arg-type]
        client.send(request(f"Authorization: Bearer {STAND_IN}", "Connection: Upgrade", "Upgrade: websocket"))
        assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        assert client.exactly(2) == b"hi"
        assert client.send(body).exactly(len(body)) == body[::-1]
        assert client.ended()
    assert origin.problems == []


# --- git

ZERO, ONE = b"0" * 40, b"1" * 40


def packet(line: bytes) -> bytes:
    return b"%04x%b" % (len(line) + 4, line)


def push_of(ref: bytes) -> bytes:
    return packet(ZERO + b" " + ONE + b" " + ref + b"\0 report-status") + b"0000" + b"PACK" + bytes(300_000)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("expects", [False, True])
def test_pushes(world: Authority, own: Authority, chunked: bool, expects: bool) -> None:
    """Branches below ``aienv/`` pass whole; of a push to another one not a byte arrives."""
    body = push_of(b"refs/heads/aienv/x")

    def script(conn: Conn) -> None:
        head = conn.head()
        assert b"Expect" not in head
        if chunked:
            got = b""
            while not got.endswith(b"PACK" + bytes(300_000)):
                conn_line = b""
                while not conn_line.endswith(b"\r\n"):
                    conn_line += conn.exactly(1)
                got += conn.exactly(int(conn_line, 16))
                conn.exactly(2)
            assert got == body
        else:
            assert conn.exactly(len(body)) == body
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    origin = Origin(script, tls=world.server("a.example.org"))
    setting = {"allow": ["a.example.org"], "inspect": ["a.example.org"], "leaves": [own.leaf("a.example.org")], "secrets": [SECRET]}
    lines = ["Authorization: Basic " + base64.b64encode(f"x:{STAND_IN}".encode()).decode()]
    lines += ["Content-Type: application/x-git-receive-pack-request"]
    lines += ["Expect: 100-continue"] if expects else []
    repos = [GitRepo("a.example.org", "team/app", True)]
    with place({A: origin}, upstream_ca=world.ca, git=repos, **setting) as here:  # type: ignore[arg-type]
        for payload, status in ((body, 200), (push_of(b"refs/heads/main"), 403), (b"0" * 100_000, 403)):
            with inside(here, own) as client:
                framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(payload)}"
                client.send(request(*lines, framing, method="POST", path="/team/app.git/git-receive-pack"))
                if expects:
                    assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                data = b"%x\r\n%b\r\n0\r\n\r\n" % (len(payload), payload) if chunked else payload
                with contextlib.suppress(OSError):
                    client.send(data)
                answer = client.answer()
                assert answer.status == status
                assert answer.headers.get("x-aienv-denied") == ("git" if status == 403 else None)
        with inside(here, own) as client:
            assert client.ask(request(*lines, path="/team/other.git/info/refs?service=git-upload-pack")).headers["x-aienv-denied"] == "git"
            assert client.ask(request(*lines, path="/api/anything")).headers["x-aienv-denied"] == "git"
    assert origin.problems == []
    assert sum(b"git-receive-pack" in log for log in origin.received) == 1


def test_large_bodies_through_tls(world: Authority, own: Authority) -> None:
    """Both ways, with and without the search for values in the answer."""
    size = 20_000_000
    body = bytes(range(250)) * (size // 250)

    def script(conn: Conn) -> None:
        while conn.head():
            got = conn.exactly(size)
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + got)

    origin = Origin(script, tls=world.server("a.example.org"))
    setting = {"allow": ["a.example.org"], "inspect": ["a.example.org"], "leaves": [own.leaf("a.example.org")], "secrets": [SECRET]}
    with place({A: origin}, upstream_ca=world.ca, **setting) as here, inside(here, own) as client:  # type: ignore[arg-type]
        for line in ("X-A: 1", f"X-Api-Key: {STAND_IN}"):
            client.send(request(line, f"Content-Length: {size}", method="POST") + body)
            assert client.answer().body == body
    wait_for(lambda: len(here.net(status=200)) == 2)
    assert origin.problems == []
