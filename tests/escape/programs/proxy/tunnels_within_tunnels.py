"""Asks an allowed server to be the next proxy, where the proxy passes TLS on and where it looks into it."""
# outside: unsure

from attempt import attempt
from proxied import EVIL, FORBIDDEN, GOOD, OTHER, origins, reached, tunnel, within


@attempt
def main():
    found = []
    for name, path in ((GOOD, "elsewhere"), (OTHER, FORBIDDEN)):
        for request in (
            f"CONNECT {EVIL}:443 HTTP/1.1\r\nHost: {EVIL}:443\r\n\r\n",
            f"GET http://{EVIL}/{path} HTTP/1.1\r\nHost: {EVIL}\r\nConnection: close\r\n\r\n",
        ):
            talk = tunnel(f"{name}:443")
            raw = within(talk, name, request.encode()) if talk else b""
            found += reached(raw, GOOD) + (["passed on"] if name == OTHER and origins(raw) else [])
    return found
