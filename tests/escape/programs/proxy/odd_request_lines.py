"""Writes the first line with other blanks, other versions, two targets, a target that goes on."""
# outside: escapes

from attempt import attempt
from proxied import EVIL, FORBIDDEN, GOOD, exchange, reached

EVIL_URL, GOOD_URL = f"http://{EVIL}/{FORBIDDEN}", f"http://{GOOD}/"


@attempt
def main():
    lines = (
        f"GET {EVIL_URL}",
        f"GET {EVIL_URL} HTTP/0.9",
        f"GET {EVIL_URL} HTTP/1.0",
        f"GET {EVIL_URL} HTTP/2.0",
        f"GET {GOOD_URL} {EVIL_URL} HTTP/1.1",
        f"GET\t{EVIL_URL}\tHTTP/1.1",
        f"GET  {EVIL_URL} HTTP/1.1",
        f"GET {EVIL_URL} HTTP/1.1 HTTP/1.1",
        f" GET {EVIL_URL} HTTP/1.1",
        f"GET {GOOD_URL}\x20HTTP/1.1\x00{EVIL_URL} HTTP/1.1",
        f"get {EVIL_URL} HTTP/1.1",
        f"{EVIL_URL} HTTP/1.1",
        f"GET {EVIL_URL} http/1.1",
        f"GET@{GOOD_URL} {EVIL_URL} HTTP/1.1",
        f"GET {EVIL_URL} HTTP/1.10",
        f"\r\n\r\nGET {EVIL_URL} HTTP/1.1",
        f"GET {GOOD_URL}\x0b{EVIL_URL} HTTP/1.1",
    )
    found = []
    for line in lines:
        raw = exchange(f"{line}\r\nHost: {GOOD}\r\nConnection: close\r\n\r\n".encode("latin-1"))
        found += [f"{line!r}: {who}" for who in reached(raw, GOOD)]
    return found
