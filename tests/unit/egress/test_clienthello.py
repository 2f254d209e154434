"""The first message of TLS: real ones of this machine's own TLS, and what an attacker would make of them."""

import ssl
import struct
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.egress.clienthello import MAX_HELLO_BYTES, Hello, NeedMore, NotTls, parse


def real_hello(name: str | None, alpn: tuple[str, ...] = (), newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context.maximum_version = newest
    if alpn:
        context.set_alpn_protocols(list(alpn))
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def vector(width: int, data: bytes) -> bytes:
    return len(data).to_bytes(width, "big") + data


def sni(*names: bytes, kind: int = 0) -> bytes:
    return struct.pack(">H", 0) + vector(2, vector(2, b"".join(bytes([kind]) + vector(2, name) for name in names)))


def extension(kind: int, data: bytes = b"") -> bytes:
    return struct.pack(">H", kind) + vector(2, data)


def message(
    *extensions: bytes, version: bytes = b"\3\3", ciphers: bytes = b"\x13\1", session: bytes = b"", compression: bytes = b"\0"
) -> bytes:
    body = version + bytes(32) + vector(1, session) + vector(2, ciphers) + vector(1, compression)
    body += vector(2, b"".join(extensions)) if extensions else b""
    return b"\1" + vector(3, body)


def records(data: bytes, size: int = 16384) -> bytes:
    return b"".join(b"\x16\3\1" + vector(2, data[start : start + size]) for start in range(0, len(data), size))


NAME = sni(b"api.example.org")
LONG = records(b"\1\0\x7f\xf0" + bytes(32696))  # nearly as long as may be, and not whole


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_real_one(newest: ssl.TLSVersion) -> None:
    """As OpenSSL sends it, with everything that it puts in."""
    data = real_hello("api.example.org", ("h2", "http/1.1"), newest)
    assert parse(data) == Hello("api.example.org", False, (b"h2", b"http/1.1"))
    assert parse(real_hello(None, newest=newest)) == Hello(None, False, ())


def test_at_each_byte_more_is_needed() -> None:
    """The network may cut it anywhere."""
    data = real_hello("api.example.org")
    assert {type(parse(data[:end])) for end in range(len(data))} == {NeedMore}
    assert parse(data + b"\x17\3\3\0\1x") == parse(data)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 50])
def test_in_several_records(size: int) -> None:
    """A hello in pieces is read as a server reads it: whole. Firewalls have been passed with this."""
    data = records(message(NAME, extension(16, vector(2, vector(1, b"h2")))), size)
    assert parse(data) == Hello("api.example.org", False, (b"h2",))
    assert {type(parse(data[:end])) for end in range(len(data))} == {NeedMore}


@pytest.mark.parametrize("kind", [0xFE0D, 0xFE08, 0xFE0C, 0xFFCE], ids=hex)
def test_hidden_names(kind: int) -> None:
    """A second name that only the server can read is seen to be there."""
    assert parse(records(message(NAME, extension(kind, b"x")))) == Hello("api.example.org", True, ())
    assert parse(records(message(extension(kind, b"x"), NAME), 7)) == Hello("api.example.org", True, ())


@pytest.mark.parametrize(
    ("data", "because"),
    [
        pytest.param(b"GET / HTTP/1.1\r\n", "no TLS handshake", id="http"),
        pytest.param(b"\x80\x2e\1\0\2", "no TLS handshake", id="ssl2"),
        pytest.param(b"\x17\3\3\0\1x", "no TLS handshake", id="application-data"),
        pytest.param(b"\x16\2\0\0\5", "no TLS handshake", id="version-2"),
        pytest.param(records(b"\2\0\0\0"), "no ClientHello", id="server-hello"),
        pytest.param(b"\x16\3\1\0\0", "empty or too long", id="empty-record"),
        pytest.param(b"\x16\3\1\x40\1", "empty or too long", id="long-record"),
        pytest.param(records(message(NAME)[:50], 50) + b"\x15\3\1\0\2\1\0", "no TLS handshake", id="alert-between"),
        pytest.param(records(message(NAME) + b"\x14"), "something follows", id="something-follows"),
        pytest.param(records(message(NAME) * 2), "something follows", id="two-hellos"),
        pytest.param(records(b"\1\xff\xff\xff" + bytes(100)), "too long", id="says-16-megabytes"),
        pytest.param(records(b"\1\0\x70\0" + bytes(28000), 1), "too long", id="many-small-records"),
        pytest.param(LONG + records(bytes(20)) + records(bytes(30)), "too long", id="long-records"),
        pytest.param(records(b"\1\0\0\5\3\3abc"), "shorter than it says", id="short"),
        pytest.param(records(message(NAME, version=b"\2\0")), "no version", id="version-2-inside"),
        pytest.param(records(message(NAME, ciphers=b"")), "ciphers", id="no-ciphers"),
        pytest.param(records(message(NAME, ciphers=b"\x13")), "ciphers", id="half-a-cipher"),
        pytest.param(records(message(NAME, compression=b"")), "ciphers", id="no-compression"),
        pytest.param(records(message(NAME, session=bytes(33))), "session", id="long-session"),
        pytest.param(records(message(NAME, NAME)), "extension twice", id="two-names"),
        pytest.param(records(message(NAME, extension(0xFE0D), extension(0xFE0D))), "extension twice", id="twice"),
        pytest.param(records(message(sni(b"a.example", b"b.example"))), "exactly one server", id="two-names-in-one"),
        pytest.param(records(message(sni())), "shorter than it says", id="empty-list"),
        pytest.param(records(message(sni(b""))), "exactly one server", id="empty-name"),
        pytest.param(records(message(sni(b"a.example", kind=1))), "exactly one server", id="odd-kind"),
        pytest.param(records(message(sni(b"a.example\0.evil.example"))), "visible ASCII", id="nul"),
        pytest.param(records(message(sni("ä.example".encode()))), "visible ASCII", id="not-ascii"),
        pytest.param(records(message(extension(0, vector(2, b"\0" + vector(2, b"a")) + b"x"))), "exactly one server", id="behind-the-name"),
        pytest.param(records(message(extension(16, vector(2, vector(1, b"h2")) + b"x"))), "protocols", id="behind-alpn"),
        pytest.param(records(message(extension(16, b"\0\3\2h"))), "shorter than it says", id="alpn-cut"),
        pytest.param(records(b"\1" + vector(3, message(NAME)[4:] + b"x")), "longer than it says", id="longer"),
    ],
)
def test_refused(data: bytes, because: str) -> None:
    """What two readers of TLS could take for two names."""
    found = parse(data)
    assert isinstance(found, NotTls)
    assert because in found.reason


def test_a_long_one_is_read() -> None:
    """Post-quantum keys and padding make real ones long."""
    assert parse(records(message(NAME, extension(21, bytes(20000)), session=bytes(32)), 16000)) == Hello("api.example.org", False, ())
    assert isinstance(parse(records(message(NAME, extension(21, bytes(40000))))), NotTls)
    assert MAX_HELLO_BYTES > 20100


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 140), st.integers(0, 255))
def test_any_bytes(noise: bytes, place: int, byte: int) -> None:
    """Any bytes, and a real hello with one byte changed, have an answer."""
    for data in (noise, b"\x16\3\1" + noise, b"\x16\3\1\0\x50\1" + noise):
        assert isinstance(parse(data), (NeedMore, NotTls, Hello))
    whole = bytearray(records(message(NAME, extension(0xFE0D, b"x"))))
    whole[place % len(whole)] = byte
    assert isinstance(parse(bytes(whole)), (NeedMore, NotTls, Hello))
