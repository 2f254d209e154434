"""Where a redirect may lead and what goes along; deadlines and sizes, of a server on loopback."""

import contextlib
import http.server
import io
import socket
import threading
from collections.abc import Callable, Iterator, Mapping

import pytest

from orchestrator.devcontainer.features.transport import Request, Transport, Unreachable, is_outside, redirected, spares
from orchestrator.errors import EnvironmentFailed, PolicyRefused

HEADERS = {"Authorization": "Bearer secret", "Accept": "x"}


@pytest.mark.parametrize(
    ("url", "location", "target", "with_secret"),
    [
        pytest.param("https://r.io/v2/x", "/v2/y", "https://r.io/v2/y", True, id="path"),
        pytest.param("https://r.io/v2/x", "https://r.io:443/y", "https://r.io:443/y", True, id="same"),
        pytest.param("https://r.io/v2/x", "https://cdn.io/y?sig=1", "https://cdn.io/y?sig=1", False, id="another-host"),
        pytest.param("https://r.io/v2/x", "https://r.io:8443/y", "https://r.io:8443/y", False, id="another-port"),
        pytest.param("https://r.io/v2/x", "//cdn.io/y", "https://cdn.io/y", False, id="without-a-scheme"),
        pytest.param("http://localhost:5000/x", "http://localhost:5000/y", "http://localhost:5000/y", True, id="plain-to-itself"),
        pytest.param("http://localhost:5000/x", "https://cdn.io/y", "https://cdn.io/y", False, id="plain-to-tls"),
    ],
)
def test_redirect_is_followed(url: str, location: str, target: str, with_secret: bool) -> None:
    found = redirected(Request(url, HEADERS), location)
    assert found.url == target
    assert found.headers == (HEADERS if with_secret else {"Accept": "x"})


@pytest.mark.parametrize(
    ("url", "location"),
    [
        pytest.param("https://r.io/x", "http://r.io/x", id="to-plain"),
        pytest.param("https://r.io/x", "http://localhost:5000/x", id="to-this-machine"),
        pytest.param("https://r.io/x", "http://127.0.0.1/x", id="to-loopback"),
        pytest.param("http://localhost:5000/x", "http://localhost:5001/x", id="to-another-port-here"),
        pytest.param("https://r.io/x", "file:///etc/passwd", id="file"),
        pytest.param("https://r.io/x", "ftp://r.io/x", id="ftp"),
        pytest.param("https://r.io/x", "https://user:pw@cdn.io/x", id="user"),
        pytest.param("https://r.io/x", "https://r.io/a b", id="blank"),
        pytest.param("https://r.io/x", "https://r.io:99999/", id="port"),
        pytest.param("https://r.io/x", "https://r.io/" + "x" * 9000, id="long"),
        pytest.param("https://r.io/x", "https://[/", id="brackets"),
    ],
)
def test_redirect_is_refused(url: str, location: str) -> None:
    with pytest.raises(EnvironmentFailed, match="redirects to"):
        redirected(Request(url, HEADERS), location)


@pytest.mark.parametrize(
    ("no_proxy", "host", "spared"),
    [
        pytest.param("a.io, example.org", "example.org", True, id="named"),
        pytest.param(".example.org", "x.example.org", True, id="domain"),
        pytest.param("example.org", "xexample.org", False, id="ends-alike"),
        pytest.param("*", "any.io", True, id="all"),
        pytest.param("", "any.io", False, id="empty"),
    ],
)
def test_no_proxy(no_proxy: str, host: str, spared: bool) -> None:
    assert spares(no_proxy, host) is spared


Reply = Callable[[http.server.BaseHTTPRequestHandler], None]


@contextlib.contextmanager
def serving(reply: Reply) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(OSError):
                reply(self)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def answer(handler: http.server.BaseHTTPRequestHandler, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
    handler.send_response(status)
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def test_success_goes_into_the_file() -> None:
    with serving(lambda handler: answer(handler, b"x" * 100_000)) as base:
        into = io.BytesIO()
        found = Transport({}).ask(Request(f"{base}/a?b=c"), 100_000, into)
    assert (found.status, found.body, len(into.getvalue())) == (200, b"", 100_000)


def test_failure_does_not() -> None:
    """What an error page says is no feature."""
    with serving(lambda handler: answer(handler, b"no" * 100_000, 404)) as base:
        into = io.BytesIO()
        found = Transport({}).ask(Request(base), 1000, into)
    assert (found.status, into.getvalue()) == (404, b"")
    assert len(found.body) <= 1000


def test_too_much() -> None:
    with serving(lambda handler: answer(handler, b"x" * 2000)) as base, pytest.raises(EnvironmentFailed, match="more than the 1000 bytes"):
        Transport({}).ask(Request(base), 1000)


def test_cut_off() -> None:
    with serving(lambda handler: answer(handler, b"x", headers={"Content-Length": "10"})) as base, pytest.raises(Unreachable):
        Transport({}).ask(Request(base), 1000)


def test_redirects_end() -> None:
    with serving(lambda handler: answer(handler, b"", 302, {"Location": "/again"})) as base:
        with pytest.raises(EnvironmentFailed, match="more than 5 times"):
            Transport({}).ask(Request(base), 1000)


def test_a_server_that_drips_ends_at_the_deadline() -> None:
    """Each byte comes in time, the whole does not."""
    stop = threading.Event()

    def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not stop.wait(0.02):
            handler.wfile.write(b"x")

    try:
        with serving(drip) as base, pytest.raises(Unreachable, match="in time"):
            Transport({}, deadline_s=0.3).ask(Request(base), 1 << 20)
    finally:
        stop.set()


def test_a_server_that_says_nothing_ends_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Unreachable, match="in time"):
        Transport({}, deadline_s=0.2).ask(Request(f"http://127.0.0.1:{silent.getsockname()[1]}/"), 100)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(Unreachable, match="cannot be reached"):
        Transport({}).ask(Request(f"http://127.0.0.1:{port}/"), 100)


@pytest.mark.parametrize("url", ["http://example.org/", "ftp://example.org/", "https://u:p@example.org/", "https://"])
def test_addresses_that_are_not_asked(url: str) -> None:
    with pytest.raises(EnvironmentFailed):
        Transport({}).ask(Request(url), 100)


@pytest.mark.parametrize(
    ("host", "outside"),
    [
        ("ghcr.io", True),
        ("r.example.org.", True),
        ("140.82.121.34", True),
        ("2606:4700::1", True),
        ("::ffff:140.82.121.34", True),
        ("localhost", False),
        ("a.localhost", False),
        ("registry", False),
        ("printer.local", False),
        ("127.0.0.1", False),
        ("127.1", False),
        ("2130706433", False),
        ("0x7f000001", False),
        ("10.1.2.3", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("", False),
    ],
)
def test_what_is_outside(host: str, outside: bool) -> None:
    assert is_outside(host) is outside


def test_a_closed_network_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by address nor by a name that leads there; where it is the user who names the host it is."""
    heard: list[str] = []

    def reply(handler: http.server.BaseHTTPRequestHandler) -> None:
        heard.append(handler.path)
        answer(handler, b"x")

    with serving(reply) as base:
        port = base.rpartition(":")[2]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", int(port)))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *words, **more: found)
        for url in (f"{base}/a", f"https://registry.example.org:{port}/a", f"https://127.0.0.1:{port}/a"):
            with pytest.raises(PolicyRefused) as caught:
                Transport({}, closed="grant it").ask(Request(url), 100)
            assert caught.value.remedy == "grant it"
        assert heard == []
        assert Transport({}).ask(Request(f"{base}/a"), 100).status == 200


def test_tls_goes_through_the_proxy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        heard: list[bytes] = []

        def accept() -> None:
            connection, _ = proxy.accept()
            with connection:
                heard.append(connection.recv(4096))

        thread = threading.Thread(target=accept)
        thread.start()
        with pytest.raises(Unreachable):
            Transport({"HTTPS_PROXY": f"http://me:pw@127.0.0.1:{proxy.getsockname()[1]}"}).ask(Request("https://r.example/v2/"), 100)
        thread.join()
    assert heard[0].startswith(b"CONNECT r.example:443 ")
    assert b"Proxy-Authorization: Basic bWU6cHc=" in heard[0]


def test_headers_are_not_shown() -> None:
    assert "secret" not in repr(Request("https://r.io/", HEADERS, b"secret"))
