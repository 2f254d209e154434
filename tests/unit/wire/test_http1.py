"""Heads of HTTP/1.1: what two readers could understand differently is refused, and what goes on was understood."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.wire.http1 import (
    MAX_FIELDS,
    MAX_HEAD_BYTES,
    NO_BODY,
    BadMessage,
    Body,
    Form,
    head_end,
    parse_request_head,
    parse_response_head,
    parse_target,
    serialise_request,
    serialise_response,
    sniff,
)

GET = b"GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\n"


def post(*lines: bytes) -> bytes:
    return b"\r\n".join((b"POST / HTTP/1.1", b"Host: a.example", *lines)) + b"\r\n\r\n"


def why(data: bytes) -> str:
    with pytest.raises(BadMessage) as caught:
        parse_request_head(data[: head_end(data)])
    return caught.value.reason


@pytest.mark.parametrize(
    ("data", "because"),
    [
        # Two lengths: CWE-444, and every published variation of it that stands in a head.
        pytest.param(post(b"Content-Length: 5", b"Transfer-Encoding: chunked"), "both Content-Length and Transfer-Encoding", id="cl-te"),
        pytest.param(post(b"Transfer-Encoding: chunked", b"Content-Length: 5"), "both Content-Length and Transfer-Encoding", id="te-cl"),
        pytest.param(post(b"Content-Length: 5", b"Content-Length: 6"), "several Content-Length", id="two-lengths"),
        pytest.param(post(b"Content-Length: 5", b"Content-Length: 5"), "several Content-Length", id="the-same-length-twice"),
        pytest.param(post(b"Content-Length: 5, 5"), "not a number", id="length-list"),
        pytest.param(post(b"Content-Length: +5"), "not a number", id="length-plus"),
        pytest.param(post(b"Content-Length: -1"), "not a number", id="length-negative"),
        pytest.param(post(b"Content-Length: 0x5"), "not a number", id="length-hex"),
        pytest.param(post(b"Content-Length: 5 5"), "not a number", id="length-blank"),
        pytest.param(post(b"Content-Length:"), "not a number", id="length-empty"),
        pytest.param(post(b"Content-Length: \xb2"), "not a number", id="length-superscript"),
        pytest.param(post(b"Content-Length: 1_0"), "not a number", id="length-underscore"),
        pytest.param(post(b"Content-Length: 1234567890123456789"), "not a number", id="length-beyond-all"),
        pytest.param(post(b"Content_Length: 5"), "some servers take for", id="length-underscored"),
        pytest.param(post(b"Transfer_Encoding: chunked"), "some servers take for", id="coding-underscored"),
        pytest.param(post(b"Transfer-Encoding: gzip, chunked"), "other than 'chunked'", id="two-codings"),
        pytest.param(post(b"Transfer-Encoding: chunked, identity"), "other than 'chunked'", id="chunked-not-last"),
        pytest.param(post(b"Transfer-Encoding: xchunked"), "other than 'chunked'", id="xchunked"),
        pytest.param(post(b"Transfer-Encoding: identity"), "other than 'chunked'", id="identity"),
        pytest.param(post(b'Transfer-Encoding: "chunked"'), "other than 'chunked'", id="quoted"),
        pytest.param(post(b"Transfer-Encoding:"), "other than 'chunked'", id="coding-empty"),
        pytest.param(post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), "several Transfer-Encoding", id="coding-twice"),
        pytest.param(post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: x"), "several Transfer-Encoding", id="coding-and-another"),
        pytest.param(post(b"Transfer-Encoding: \x0bchunked"), "control character", id="vertical-tab"),
        pytest.param(post(b"Transfer-Encoding : chunked"), "blank between", id="blank-before-colon"),
        pytest.param(post(b"Transfer-Encoding\t: chunked"), "blank between", id="tab-before-colon"),
        pytest.param(post(b"X: y", b" Transfer-Encoding: chunked"), "goes on in a second line", id="folded"),
        pytest.param(post(b"X: y", b"\tz"), "goes on in a second line", id="folded-tab"),
        pytest.param(b"POST / HTTP/1.1\r\n Host: a\r\n\r\n", "goes on in a second line", id="folded-first"),
        pytest.param(b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "chunks in HTTP/1.0", id="chunked-in-1.0"),
        # Line ends.
        pytest.param(post(b"X: y\nContent-Length: 5"), "of its own", id="bare-lf"),
        pytest.param(post(b"X: y\rContent-Length: 5"), "of its own", id="bare-cr"),
        pytest.param(post(b"X: y\r\r"), "of its own", id="cr-cr-lf"),
        pytest.param(post(b"X: y\0z"), "NUL", id="nul"),
        pytest.param(b"GET / HTTP/1.1\nHost: a\r\n\r\n", "where none may stand", id="bare-lf-first"),
        pytest.param(b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", "where none may stand", id="nul-first"),
        pytest.param(b"GET / HTTP/1.1\r\rHost: a\r\n\r\n", "where none may stand", id="bare-cr-first"),
        # Names.
        pytest.param(post(b"X y: z"), "character that none has", id="blank-in-name"),
        pytest.param(post(b": z"), "character that none has", id="no-name"),
        pytest.param(post(b"X\x7f: z"), "character that none has", id="del-in-name"),
        pytest.param(post(b"X\xe9: z"), "character that none has", id="latin-1-in-name"),
        pytest.param(post(b"X(y): z"), "character that none has", id="separator-in-name"),
        pytest.param(post(b"nonsense"), "without a colon", id="no-colon"),
        pytest.param(post(b"X: \x01"), "control character", id="control"),
        pytest.param(post(b"X: \x7f"), "control character", id="del"),
        # Host.
        pytest.param(post(b"Host: b.example"), "several Host", id="two-hosts"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", "Host header is missing", id="no-host"),
        # Request lines.
        pytest.param(b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "METHOD TARGET VERSION", id="two-blanks"),
        pytest.param(b"GET / x HTTP/1.1\r\nHost: a\r\n\r\n", "METHOD TARGET VERSION", id="blank-in-target"),
        pytest.param(b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "METHOD TARGET VERSION", id="tab"),
        pytest.param(b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "METHOD TARGET VERSION", id="leading-blank"),
        pytest.param(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "METHOD TARGET VERSION", id="leading-empty-line"),
        pytest.param(b"get / HTTP/1.1\r\nHost: a\r\n\r\n", "capital letters", id="small-letters"),
        pytest.param(b"G\xcbT / HTTP/1.1\r\nHost: a\r\n\r\n", "capital letters", id="latin-1-method"),
        pytest.param(b"GE(T / HTTP/1.1\r\nHost: a\r\n\r\n", "capital letters", id="separator-in-method"),
        pytest.param(b"A" * 33 + b" / HTTP/1.1\r\nHost: a\r\n\r\n", "capital letters", id="long-method"),
        pytest.param(b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", "visible ASCII", id="utf-8-target"),
        pytest.param(b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", "visible ASCII", id="del-in-target"),
        pytest.param(b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", "HTTP/1.0 or HTTP/1.1", id="1.2"),
        pytest.param(b"GET / HTTP/01.1\r\nHost: a\r\n\r\n", "HTTP/1.0 or HTTP/1.1", id="01.1"),
        pytest.param(b"GET / http/1.1\r\nHost: a\r\n\r\n", "HTTP/1.0 or HTTP/1.1", id="small-version"),
        pytest.param(b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "HTTP/1.0 or HTTP/1.1", id="2.0"),
        pytest.param(b"GET /\r\n\r\n", "METHOD TARGET VERSION", id="0.9"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\n", "HTTP/2", id="http2-preface"),
        pytest.param(b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "repeat what it was sent", id="trace"),
        pytest.param(b"TRACK / HTTP/1.1\r\nHost: a\r\n\r\n", "repeat what it was sent", id="track"),
        # The rest.
        pytest.param(post(b"Expect: 200-ok"), "expectation", id="expectation"),
        pytest.param(post(b"Expect: 100-continue", b"Expect: 100-continue"), "several Expect", id="two-expectations"),
        pytest.param(post(*[b"X: y"] * MAX_FIELDS), "more than", id="too-many"),
    ],
)
def test_refused(data: bytes, because: str) -> None:
    """Each is read in two ways by some pair of real programs, or by nobody."""
    assert because in why(data)


@pytest.mark.parametrize(
    ("data", "body", "keep_alive"),
    [
        pytest.param(GET + b"\r\n", NO_BODY, True, id="get"),
        pytest.param(post(b"Content-Length: 5"), Body("length", 5), True, id="length"),
        pytest.param(post(b"content-length:\t5 \t"), Body("length", 5), True, id="blanks-around"),
        pytest.param(post(b"Content-Length: 0"), Body("length", 0), True, id="zero"),
        pytest.param(post(b"Content-Length: 007"), Body("length", 7), True, id="leading-zeros"),
        pytest.param(post(b"Transfer-Encoding: Chunked"), Body("chunked"), True, id="chunked"),
        pytest.param(post(b"Connection: close"), NO_BODY, False, id="close"),
        pytest.param(post(b"Connection: keep-alive, CLOSE"), NO_BODY, False, id="close-in-list"),
        pytest.param(post(b"Proxy-Connection: close"), NO_BODY, False, id="proxy-close"),
        pytest.param(b"GET / HTTP/1.0\r\n\r\n", NO_BODY, False, id="1.0"),
        pytest.param(post(b"X: caf\xe9 \xff"), NO_BODY, True, id="latin-1-value"),
        pytest.param(post(b"X:"), NO_BODY, True, id="empty-value"),
        pytest.param(post(*[b"X: y"] * (MAX_FIELDS - 1)), NO_BODY, True, id="as-many-as-may-be"),
    ],
)
def test_understood(data: bytes, body: Body, keep_alive: bool) -> None:
    """The nearest heads that must pass."""
    assert head_end(data) == len(data)
    head = parse_request_head(data)
    assert (head.body, head.keep_alive) == (body, keep_alive)


def test_hop_by_hop_fields_end_here() -> None:
    """By their names, and those that Connection names; what goes on keeps its order, and Host is not among it."""
    head = parse_request_head(
        b"GET / HTTP/1.1\r\nHost: a\r\nB: 2\r\nConnection: keep-alive, X-Private\r\nKeep-Alive: 5\r\nTE: trailers\r\nTrailer: x\r\n"
        b"Proxy-Authorization: Basic x\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nX-Private: 1\r\nX-Aienv-Denied: no\r\nA: 1\r\n\r\n"
    )
    assert head.fields == (("B", "2"), ("A", "1"))
    assert not head.upgrade


@pytest.mark.parametrize(
    ("lines", "upgrade"),
    [
        pytest.param((b"Connection: Upgrade", b"Upgrade: websocket"), True, id="websocket"),
        pytest.param((b"Connection: keep-alive, upgrade", b"Upgrade: WebSocket", b"Content-Length: 0"), True, id="spelt-otherwise"),
        pytest.param((b"Upgrade: websocket",), False, id="without-connection"),
        pytest.param((b"Connection: Upgrade", b"Upgrade: h2c"), False, id="h2c"),
        pytest.param((b"Connection: Upgrade", b"Upgrade: websocket, h2c"), False, id="two"),
        pytest.param((b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 3"), False, id="with-body"),
    ],
)
def test_upgrade(lines: tuple[bytes, ...], upgrade: bool) -> None:
    """Only to WebSocket: HTTP/2 in clear text would hide further requests."""
    assert parse_request_head(b"\r\n".join((b"GET / HTTP/1.1", b"Host: a", *lines)) + b"\r\n\r\n").upgrade is upgrade


@pytest.mark.parametrize(
    ("data", "because"),
    [
        pytest.param(b"GET / HTTP/1.1\nHost: x", "without a carriage return", id="bare-lf"),
        pytest.param(b"GET /\r\n", "not of HTTP/1.0 or HTTP/1.1", id="0.9"),
        pytest.param(b"PRI * HTTP/2.0\r\n", "not of HTTP/1.0 or HTTP/1.1", id="http2"),
        pytest.param(b"GET / HTTP/1.1\r\nX: \0", "NUL", id="nul"),
        pytest.param(b"\x16\x03\x01\x00", "TLS where", id="tls"),
        pytest.param(b"\n", "without a carriage return", id="lf-first"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"y" * MAX_HEAD_BYTES, "longer than", id="long"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"y" * MAX_HEAD_BYTES + b"\r\n\r\n", "longer than", id="long-but-whole"),
    ],
)
def test_what_can_become_nothing_is_refused_early(data: bytes, because: str) -> None:
    """The client is not left waiting for the rest of a head that is lost."""
    with pytest.raises(BadMessage) as caught:
        head_end(data)
    assert because in caught.value.reason


def test_a_head_that_is_not_whole_is_waited_for() -> None:
    """At each byte."""
    data = post(b"Content-Length: 5")
    assert [head_end(data[:end]) for end in range(len(data))] == [0] * len(data)
    assert head_end(data + b"hello") == len(data)


def test_a_head_full_of_blanks_costs_no_time() -> None:
    """A pattern that tries every end of a run of blanks would take minutes; the test's own deadline is the measure."""
    blanks = b" " * 65000
    parse_request_head(b"GET / HTTP/1.1\r\nHost: a\r\nX: y" + blanks + b"z\r\n\r\n")
    assert "without a colon" in why(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"x" * 65000 + b"\r\n\r\n")


@pytest.mark.parametrize(
    ("target", "form", "wanted"),
    [
        pytest.param("http://a.example/b?c", "absolute", ("http", "a.example", "/b", "?c"), id="absolute"),
        pytest.param("HTTP://a.example", "absolute", ("http", "a.example", "/", ""), id="no-path"),
        pytest.param("http://a.example?c", "absolute", ("http", "a.example", "/", "?c"), id="query-alone"),
        pytest.param("http://a@b/", "absolute", ("http", "a@b", "/", ""), id="user-is-judged-elsewhere"),
        pytest.param("http:///x", "absolute", ("http", "", "/x", ""), id="no-host-is-judged-elsewhere"),
        pytest.param("/a//b/../c?d?e", "origin", ("", "", "/a//b/../c", "?d?e"), id="origin"),
        pytest.param("//a.example/b", "origin", ("", "", "//a.example/b", ""), id="two-slashes-are-a-path"),
    ],
)
def test_targets(target: str, form: Form, wanted: tuple[str, str, str, str]) -> None:
    """In the form that the listener wants, and not normalised: what is judged is what is sent."""
    found = parse_target(parse_request_head(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()), form)
    assert (found.scheme, found.authority, found.path, found.query) == wanted


@pytest.mark.parametrize(
    ("line", "form", "because"),
    [
        pytest.param("GET /x", "absolute", "this is a proxy", id="origin-at-the-proxy"),
        pytest.param("GET a.example:443", "absolute", "this is a proxy", id="authority-with-get"),
        pytest.param("GET http:/a.example/", "absolute", "this is a proxy", id="one-slash"),
        pytest.param("GET http://a.example/#x", "absolute", "this is a proxy", id="fragment"),
        pytest.param("GET http://a.example/", "origin", "not a path", id="absolute-in-a-tunnel"),
        pytest.param("GET *", "origin", "not a path", id="asterisk-with-get"),
        pytest.param("GET /x#y", "origin", "not a path", id="fragment-in-path"),
        pytest.param("CONNECT a.example:443", "origin", "proxy's port alone", id="connect-at-the-gateway"),
        pytest.param("CONNECT http://a.example/", "absolute", "proxy's port alone", id="connect-elsewhere"),
    ],
)
def test_targets_of_another_form(line: str, form: Form, because: str) -> None:
    """They are refused: a server could take one for another host."""
    with pytest.raises(BadMessage) as caught:
        parse_target(parse_request_head(f"{line} HTTP/1.1\r\nHost: a\r\n\r\n".encode()), form)
    assert because in caught.value.reason


def test_a_request_is_written_anew() -> None:
    """Host from the address, framing from what was understood, nothing of the connection to us."""
    head = parse_request_head(
        b"POST http://a.example/x HTTP/1.1\r\nhOST: other\r\nX-A:   1  \r\nTRANSFER-encoding:chunked\r\nExpect: 100-Continue\r\n\r\n"
    )
    again = serialise_request(head.method, "/x", "a.example", head.fields, head.body, expects=head.expects_continue, upgrade=False)
    assert again == (
        b"POST /x HTTP/1.1\r\nHost: a.example\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("data", "method", "body", "length", "keep_alive"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "GET", Body("length", 3), 3, True, id="length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HEAD", NO_BODY, 3, True, id="head"),
        pytest.param(b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", "GET", NO_BODY, None, True, id="204"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", "GET", NO_BODY, 3, True, id="304"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", "GET", NO_BODY, None, True, id="103"),
        pytest.param(b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", Body("chunked"), None, True, id="no-phrase"),
        pytest.param(b"HTTP/1.1 200 \r\n\r\n", "GET", Body("close"), None, False, id="until-close"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", "GET", Body("length", 3), 3, False, id="1.0"),
        pytest.param(b"HTTP/1.0 200 K\r\nContent-Length: 3\r\nConnection: Keep-Alive\r\n\r\n", "GET", Body("length", 3), 3, True, id="1.0"),
        pytest.param(b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", "GET", Body("length", 0), 0, True, id="odd-status"),
    ],
)
def test_responses(data: bytes, method: str, body: Body, length: int | None, keep_alive: bool) -> None:
    """Where a body ends depends on the request too (RFC 9112 section 6.3)."""
    head = parse_response_head(data, method)
    assert (head.body, head.length, head.keep_alive) == (body, length, keep_alive)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", id="cl-te"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", id="two-lengths"),
        pytest.param(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", id="chunked-in-1.0"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", id="coding"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", id="folded"),
        pytest.param(b"HTTP/1.1 200 OK\nX: y\r\n\r\n", id="bare-lf"),
        pytest.param(b"HTTP/1.1 2000 OK\r\n\r\n", id="four-digits"),
        pytest.param(b"HTTP/1.1 020 OK\r\n\r\n", id="leading-zero"),
        pytest.param(b"HTTP/2 200\r\n\r\n", id="version-2"),
        pytest.param(b"ICY 200 OK\r\n\r\n", id="not-http"),
    ],
)
def test_responses_refused(data: bytes) -> None:
    """A server that could be understood in two ways is not passed on to a client that might understand the other one."""
    with pytest.raises(BadMessage):
        parse_response_head(data, "GET")


def test_a_response_is_written_anew() -> None:
    """With our framing; our own header cannot be forged."""
    head = parse_response_head(
        b"HTTP/1.0 200 Fine\r\nConnection: keep-alive, x-b\r\nX-B: 1\r\nX-Aienv-Denied: forged\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
        b"Content-Length: 3\r\n\r\n", "GET",
    )  # fmt: skip
    assert serialise_response(head, head.reason, head.fields, chunked=False, close=True) == (
        b"HTTP/1.1 200 Fine\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("data", "protocol"),
    [
        pytest.param(b"", "more", id="nothing"),
        pytest.param(b"\x16\x03\x01", "tls", id="tls"),
        pytest.param(b"GET / HT", "more", id="half-a-line"),
        pytest.param(b"GET / HTTP/1.1\r\n", "http", id="http"),
        pytest.param(b"GET / HTTP/1.1\n", "http", id="http-with-bare-lf"),
        pytest.param(b"NICK someone\r\n", "other", id="irc"),
        pytest.param(b"SSH-2.0-x\r\n", "other", id="ssh"),
        pytest.param(b"\x00\x00\x00\x08\x04\xd2\x16\x2f", "other", id="postgres"),
        pytest.param(b"A" * 8192, "other", id="no-end"),
    ],
)
def test_first_words(data: bytes, protocol: str) -> None:
    """What a client speaks is told by its first line; without one it is waited for, but not for ever."""
    assert sniff(data) == protocol


NAMES = st.text(alphabet="abcXYZ-_0", min_size=1, max_size=8)
VALUES = st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_categories=["Cc"]), max_size=12)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(NAMES, VALUES), max_size=6), st.integers(0, 10**6))
def test_what_is_written_is_read_again(fields: list[tuple[str, str]], length: int) -> None:
    """Reading what we wrote gives the same head: nothing is added, lost or moved on the way."""
    fields = [(f"X{name}", value.strip(" \t")) for name, value in fields]
    data = serialise_request("PUT", "/p?q", "a.example:8080", fields, Body("length", length), expects=False, upgrade=False)
    head = parse_request_head(data)
    assert head_end(data) == len(data)
    assert (list(head.fields), head.host, head.target, head.body) == (fields, "a.example:8080", "/p?q", Body("length", length))


def status_of(data: bytes) -> int:
    """0: understood, or waited for."""
    try:
        head = data[: head_end(data)]
        if head:
            parse_response_head(head, "GET") if head.startswith(b"HTTP/") else parse_request_head(head)
    except BadMessage as problem:
        return problem.status
    return 0


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """Any bytes are understood, waited for, or refused."""
    for prefix in (b"", b"GET / HTTP/1.1\r\nHost: a\r\n", b"HTTP/1.1 200 OK\r\n"):
        for end in (b"", b"\r\n\r\n"):
            assert status_of(prefix + data + end) in (0, 400, 405, 417, 431, 501, 502, 505)
