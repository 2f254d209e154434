"""The first message of a TLS client: which server it names, and whether it hides another name behind it. Pure.

Structures: RFC 8446 section 4.1.2 and 5.1, RFC 6066 section 3, RFC 7301; encrypted names: draft-ietf-tls-esni (0xfe0d, drafts 0xfe08 to
0xfe0c) and its ancestor ESNI (0xffce). What is not exactly well formed is "not TLS": a server might read it in another way than we do.
"""

from dataclasses import dataclass

MAX_HELLO_BYTES = 32768  # on the wire, with record headers; with post-quantum keys real ones have two thousand
_MAX_RECORD = 16384
_MAX_RECORDS = 256  # real ones have one; each costs those who look at them
_SERVER_NAME, _ALPN = 0, 16
_HIDDEN_NAMES = frozenset([*range(0xFE08, 0xFE0E), 0xFFCE])


@dataclass(frozen=True, slots=True)
class NeedMore:
    """It is not all there yet."""


@dataclass(frozen=True, slots=True)
class NotTls:
    """It is none. ``reason``: why, without a byte of it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Hello:
    """``sni``: the server's name as sent, None when there is none. ``ech``: a second, encrypted name is there. ``alpn``: as offered."""

    sni: str | None
    ech: bool
    alpn: tuple[bytes, ...]


class _Malformed(ValueError):
    pass


def parse(data: bytes) -> NeedMore | NotTls | Hello:
    """What the bytes that a client sent first are. ``data`` may end anywhere, and hold what follows the message."""
    try:
        message = _message(data)
        return NeedMore() if message is None else _hello(message)
    except _Malformed as problem:
        return NotTls(str(problem))


def _message(data: bytes) -> bytes | None:
    """The handshake message, out of one or several records; None when it is not all there."""
    message, position = b"", 0
    for _ in range(_MAX_RECORDS):
        if position >= MAX_HELLO_BYTES:
            break
        header = data[position : position + 5]
        if header[:1] not in (b"", b"\x16") or header[1:2] not in (b"", b"\x03"):
            raise _Malformed("the first bytes are no TLS handshake")
        if len(header) < 5:
            return None
        length = int.from_bytes(header[3:5], "big")
        if not 0 < length <= _MAX_RECORD:
            raise _Malformed("a TLS record is empty or too long")
        position += 5 + length
        message += data[position - length : position]
        if _is_whole(message) and position <= len(data):
            return message[4:]
        if position > len(data):
            return None
    raise _Malformed("the first TLS message is too long")


def _is_whole(message: bytes) -> bool:
    """Whether this is a whole ClientHello, with nothing behind it."""
    if message[:1] not in (b"", b"\x01"):
        raise _Malformed("the first TLS message is no ClientHello")
    wanted = 4 + int.from_bytes(message[1:4], "big")
    if len(message) < 4:
        return False
    if wanted > MAX_HELLO_BYTES:
        raise _Malformed("the first TLS message is too long")
    if len(message) > wanted:
        raise _Malformed("something follows the ClientHello in its record")
    return len(message) == wanted


class _Cursor:
    """Reads lengths and values one behind the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, count: int) -> bytes:
        piece = self._data[self._position : self._position + count]
        if len(piece) < count:
            raise _Malformed("the ClientHello is shorter than it says")
        self._position += count
        return piece

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> bytes:
        """Bytes behind their own length, which has ``width`` bytes."""
        return self.take(self.number(width))

    @property
    def ended(self) -> bool:
        return self._position == len(self._data)


def _hello(body: bytes) -> Hello:
    cursor = _Cursor(body)
    if cursor.number(2) >> 8 != 3:
        raise _Malformed("the ClientHello has no version of TLS")
    cursor.take(32)
    if len(cursor.vector(1)) > 32:
        raise _Malformed("the session of the ClientHello is too long")
    ciphers, compressions = cursor.vector(2), cursor.vector(1)
    if not ciphers or len(ciphers) % 2 or not compressions:
        raise _Malformed("the ciphers of the ClientHello are malformed")
    extensions = {} if cursor.ended else _extensions(cursor.vector(2))
    if not cursor.ended:
        raise _Malformed("the ClientHello is longer than it says")
    sni = _server_name(extensions[_SERVER_NAME]) if _SERVER_NAME in extensions else None
    alpn = _protocols(extensions[_ALPN]) if _ALPN in extensions else ()
    return Hello(sni, not _HIDDEN_NAMES.isdisjoint(extensions), alpn)


def _extensions(data: bytes) -> dict[int, bytes]:
    cursor, found = _Cursor(data), dict[int, bytes]()
    while not cursor.ended:
        kind = cursor.number(2)
        if kind in found:  # which of the two counts is the server's choice
            raise _Malformed("the ClientHello has an extension twice")
        found[kind] = cursor.vector(2)
    return found


def _server_name(data: bytes) -> str:
    names = _Cursor(data)
    cursor = _Cursor(names.vector(2))
    kind, name = cursor.number(1), cursor.vector(2)
    if not names.ended or not cursor.ended or kind != 0 or not name:
        raise _Malformed("the ClientHello does not name exactly one server")
    if not all(0x21 <= byte < 0x7F for byte in name):
        raise _Malformed("the server's name in the ClientHello is not visible ASCII")
    return name.decode("ascii")


def _protocols(data: bytes) -> tuple[bytes, ...]:
    names, found = _Cursor(data), list[bytes]()
    cursor = _Cursor(names.vector(2))
    while not cursor.ended:
        found.append(cursor.vector(1))
    if not names.ended:
        raise _Malformed("the ClientHello offers protocols in a malformed way")
    return tuple(found)
