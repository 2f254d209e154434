"""Has a server say back what the proxy added to a request (TRACE)."""
# outside: escapes

from attempt import attempt
from proxied import GOOD, exchange, origins


@attempt
def main():
    found = []
    for method in ("TRACE", "TRACK", "trace"):
        fields = f"Host: {GOOD}\r\nMax-Forwards: 0\r\nProxy-Authorization: x\r\nConnection: close\r\n"
        raw = exchange(f"{method} http://{GOOD}/echo HTTP/1.1\r\n{fields}\r\n".encode())
        found += [f"{method}: {origins(raw)} answered"] if origins(raw) and b"Proxy-Authorization" in raw else []
    return found
