"""Continues a field on the next line, and puts signs into names where one reader sees another field."""
# outside: escapes

from attempt import attempt
from proxied import EVIL, GOOD, exchange, reached, status


@attempt
def main():
    found = []
    for field in (
        b"X-A: b\r\n Host: " + EVIL.encode(),
        b"X-A: b\r\n\tTransfer-Encoding: chunked",
        b"Host\r\n : " + EVIL.encode(),
        b"X-A b",
        b": empty",
        b"X A: b",
        b"X-A\x00: b",
        b"X-A: b\x00c",
        b"X-A: b\rHost: " + EVIL.encode(),
        b"\xffX: y",
        b"X-A: b\r\n\r",
        b"(X): y",
    ):
        raw = exchange(
            f"GET http://{GOOD}/folded-lines HTTP/1.1\r\n".encode()
            + b"Host: "
            + GOOD.encode()
            + b"\r\n"
            + field
            + b"\r\nConnection: close\r\n\r\n"
        )
        found += [f"{field!r}: {who}" for who in reached(raw, GOOD)] + (
            [f"{field!r}: {status(raw)}"] if status(raw) in range(200, 300) else []
        )
    return found
