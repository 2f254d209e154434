"""Asks an allowed host for paths that are not, in spellings that a server makes the same: the rule is GET /public/*."""
# outside: escapes

from attempt import attempt
from proxied import FORBIDDEN, OTHER, get, origins, tunnel, within

PATHS = (
    "/secret",
    "/public/../secret",
    "/public/%2e%2e/secret",
    "/public/..%2fsecret",
    "/public/%2e./secret",
    "/public/./../secret",
    "//public/../secret",
    "/public/..;/secret",
    "/public\\..\\secret",
    "/PUBLIC/x",
    "/publicx/x",
    "/public",
    "/secret?/public/x",
    "/secret#/public/x",
    "/%70ublic/../secret",
    "/public//../../secret",
    "/public/%252e%252e/secret",
    "/public/x/%2e%2e/%2e%2e/secret",
    "/;/public/../secret",
)


@attempt
def main():
    found = []
    for path in PATHS:
        whole = f"{path}/{FORBIDDEN}" if not path.endswith("/public") else path
        found += [f"plain {path}"] if origins(get(f"http://{OTHER}{whole}")) else []
        talk = tunnel(f"{OTHER}:443")
        if talk:
            found += (
                [f"TLS {path}"]
                if origins(within(talk, OTHER, f"GET {whole} HTTP/1.1\r\nHost: {OTHER}\r\nConnection: close\r\n\r\n".encode()))
                else []
            )
    return found
