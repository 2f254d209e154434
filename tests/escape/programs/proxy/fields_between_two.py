"""Sends fields that are meant for the proxy alone, and names others that it shall drop."""
# outside: escapes

import json

from attempt import attempt
from proxied import GOOD, get, reached

PRIVATE = ("proxy-authorization", "proxy-connection", "keep-alive", "te", "trailer", "x-dropped", "proxy-authenticate")


@attempt
def main():
    raw = get(
        f"http://{GOOD}/echo",
        b"Proxy-Authorization: Basic c2VjcmV0OnNlY3JldA==",
        b"Proxy-Connection: keep-alive",
        b"Keep-Alive: timeout=5",
        b"TE: trailers",
        b"Connection: X-Dropped, Host, Content-Length",
        b"X-Dropped: y",
        method="POST",
        body=b"",
    )
    body = raw.partition(b"\r\n\r\n")[2]
    if not body.startswith(b"{"):
        return reached(raw, GOOD)
    passed = [name.lower() for name, _ in json.loads(body)["headers"]]
    return [name for name in PRIVATE if name in passed] + ([] if passed.count("host") == 1 else [f"host {passed.count('host')} times"])
