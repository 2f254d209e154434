"""Ends a name early for one reader: NUL and other control characters, plain and percent-encoded (the way past a SOCKS list)."""
# outside: unsure

from attempt import attempt
from proxied import EVIL, FORBIDDEN, GOOD, connects, get, reached


@attempt
def main():
    found = []
    for sign in (b"\0", b"%00", b"\x01", b"\x7f", b"\t", b"\x0b", b"\x0c", b"%0d%0a", b"%20", b"\xa0", b"\\0", b"\033]0;owned\007"):
        for authority in (
            EVIL.encode() + sign + b"." + GOOD.encode(),
            GOOD.encode() + sign + b"." + EVIL.encode(),
            EVIL.encode() + sign,
            sign + EVIL.encode(),
            EVIL.encode() + sign + GOOD.encode(),
        ):
            found += [f"{authority!r}: {who}" for who in reached(get(b"http://" + authority + b"/" + FORBIDDEN.encode(), host=GOOD), GOOD)]
            found += connects(authority + b":443")
    return found
