"""Asks, where TLS is looked into, first for what is allowed, then on the same connection for what is not."""
# outside: escapes

from attempt import attempt
from proxied import EVIL, FORBIDDEN, OTHER, origins, tunnel, within


@attempt
def main():
    first = f"GET /public/first HTTP/1.1\r\nHost: {OTHER}\r\n\r\n"
    found = []
    for second in (
        f"GET /{FORBIDDEN} HTTP/1.1\r\nHost: {OTHER}\r\nConnection: close\r\n\r\n",
        f"GET /public/{FORBIDDEN} HTTP/1.1\r\nHost: {EVIL}\r\nConnection: close\r\n\r\n",
        f"GET http://{EVIL}/public/{FORBIDDEN} HTTP/1.1\r\nHost: {OTHER}\r\nConnection: close\r\n\r\n",
        f"POST /public/{FORBIDDEN} HTTP/1.1\r\nHost: {OTHER}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ):
        talk = tunnel(f"{OTHER}:443")
        raw = within(talk, OTHER, second.encode()) if talk else b""
        found += [f"alone: {second[:60]!r}"] if origins(raw) else []
        talk = tunnel(f"{OTHER}:443")
        raw = within(talk, OTHER, (first + second).encode(), whole=True) if talk else b""
        found += [f"behind: {second[:60]!r}"] if len(origins(raw)) > 1 else []
    return found
