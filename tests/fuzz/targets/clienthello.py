"""The first message of TLS, against a lenient reader that sees what some server might see.

Whatever the bytes: no exception; how they are cut changes nothing; and where we see one name and nothing hidden, a reader that skips every
check sees no other name and nothing hidden either.
"""

from orchestrator.egress.clienthello import Hello, NeedMore, NotTls, parse

_NAME = b"\0\0\0\x14\0\x12\0\0\x0fapi.example.org"
_ALPN = b"\0\x10\0\x05\0\x03\x02h2"
_ECH = b"\xfe\x0d\0\x01x"


def _hello(extensions: bytes, size: int = 16384) -> bytes:
    body = b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0" + len(extensions).to_bytes(2, "big") + extensions
    message = b"\1" + len(body).to_bytes(3, "big") + body
    pieces = (message[start : start + size] for start in range(0, len(message), size))
    return b"".join(b"\x16\3\1" + len(piece).to_bytes(2, "big") + piece for piece in pieces)


SEEDS = (_hello(_NAME), _hello(_NAME + _ALPN), _hello(_NAME + _ECH), _hello(b""), _hello(_NAME, 7), _hello(_ALPN + _NAME, 40))
WORDS = (b"\x16\3\1", b"\x16\3\3", b"\xfe\x0d", b"\xff\xce", b"\0\0", _NAME, _ALPN, b"\1\0\0", b"\x15\3\3\0\2")


def one_input(data: bytes) -> None:
    found = parse(data)
    assert isinstance(found, (NeedMore, NotTls, Hello))
    for end in {len(data) // 2, max(len(data) - 1, 0)}:
        piece = parse(data[:end])
        # What a piece is, the whole is too; only what needs more may become something.
        assert isinstance(piece, NeedMore) or piece == found
    if isinstance(found, Hello):
        names, kinds = lenient(data)
        assert names == ([] if found.sni is None else [found.sni.encode()])
        assert found.ech == bool(kinds & {0xFE08, 0xFE09, 0xFE0A, 0xFE0B, 0xFE0C, 0xFE0D, 0xFFCE})


def lenient(data: bytes) -> tuple[list[bytes], set[int]]:
    """All names and the kinds of all extensions, taken without looking left or right."""
    message, position = b"", 0
    while data[position : position + 1] == b"\x16":
        length = int.from_bytes(data[position + 3 : position + 5], "big")
        message += data[position + 5 : position + 5 + length]
        position += 5 + length
    message = message[4 : 4 + int.from_bytes(message[1:4], "big")]
    position = 34
    for width in (1, 2, 1):
        position += width + int.from_bytes(message[position : position + width], "big")
    names, kinds = list[bytes](), set[int]()
    position += 2
    while position + 4 <= len(message):
        kind = int.from_bytes(message[position : position + 2], "big")
        length = int.from_bytes(message[position + 2 : position + 4], "big")
        kinds.add(kind)
        if kind == 0:
            names.append(message[position + 4 + 5 : position + 4 + length])
        position += 4 + length
    return names, kinds
