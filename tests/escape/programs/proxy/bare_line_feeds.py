"""Ends lines with one sign alone, so that two readers count lines differently."""
# outside: escapes

from attempt import attempt
from proxied import EVIL, FORBIDDEN, GOOD, exchange, reached, status


@attempt
def main():
    good, evil, found = GOOD.encode(), EVIL.encode(), []
    for request in (
        b"GET http://" + good + b"/lines HTTP/1.1\nHost: " + good + b"\n\n",
        b"GET http://" + good + b"/lines HTTP/1.1\r\nHost: " + good + b"\n\r\n\r\n",
        b"GET http://"
        + good
        + b"/lines HTTP/1.1\r\nHost: "
        + good
        + b"\r\nX: y\n\nGET http://"
        + evil
        + b"/"
        + FORBIDDEN.encode()
        + b" HTTP/1.1\r\nHost: "
        + evil
        + b"\r\n\r\n",
        b"GET http://" + good + b"/lines HTTP/1.1\rHost: " + good + b"\r\r",
        b"GET http://" + good + b"/lines HTTP/1.1\r\r\nHost: " + good + b"\r\n\r\n",
        b"GET http://" + good + b"/lines HTTP/1.1\r\nHost: " + good + b"\r\n\n",
    ):
        raw = exchange(request, answers=1)
        found += [f"{request!r}: {who}" for who in reached(raw, GOOD)] + (
            [f"{request!r}: {status(raw)}"] if status(raw) in range(200, 300) else []
        )
    return found
