"""Uses methods that the rule does not name, by other letters, and by fields that servers take for the method."""
# outside: escapes

from attempt import attempt
from proxied import FORBIDDEN, OTHER, get, origins, tunnel, within


@attempt
def main():
    found = []
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "get", "Get", "GETX", "GE T", "GET,POST"):
        path = f"/public/{FORBIDDEN}"
        found += [f"plain {method}"] if origins(get(f"http://{OTHER}{path}", b"Content-Length: 0", method=method)) else []
        talk = tunnel(f"{OTHER}:443")
        if talk:
            request = f"{method} {path} HTTP/1.1\r\nHost: {OTHER}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            found += [f"TLS {method}"] if origins(within(talk, OTHER, request.encode())) else []
    return found
