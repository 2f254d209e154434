"""Asks for a host that is not on the list: plainly, by tunnel, with other methods, as a web socket."""
# outside: escapes

from attempt import attempt
from proxied import EVIL, FORBIDDEN, connects, get, reached


@attempt
def main():
    found = []
    for method in ("GET", "HEAD", "POST", "OPTIONS", "DELETE", "PROPFIND"):
        found += reached(get(f"http://{EVIL}/{FORBIDDEN}", method=method))
    found += reached(
        get(f"http://{EVIL}/ws", b"Upgrade: websocket", b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", b"Sec-WebSocket-Version: 13")
    )
    return found + connects(f"{EVIL}:443", f"{EVIL}:80", f"{EVIL}:22", f"{EVIL}:8443")
