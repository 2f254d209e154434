"""Asks the gateway for other services and other hosts, for paths that lead out of the service's, and as if it were the proxy."""
# outside: never

from attempt import FACTS, attempt
from proxied import EVIL, FORBIDDEN, GOOD, exchange, origins, reached, status

GATEWAY = ("127.0.0.1", 3129)
BASE = b"/public/api/"  # where the service's requests end up, on the service's host


def ask(line, *fields):
    head = "".join(f"{field}\r\n" for field in (line + " HTTP/1.1", *fields, "Connection: close"))
    return exchange(head.encode("latin-1") + b"\r\n", address=GATEWAY)


@attempt
def main():
    service, host = FACTS["service"]
    assert origins(ask(f"GET /{service}/in-its-place", f"Host: {EVIL}")) == [host], "the gateway does not work"
    found = []
    for line in (
        *(f"GET http://{name}/{FORBIDDEN}" for name in (EVIL, GOOD)),
        *(f"CONNECT {name}:443" for name in (EVIL, GOOD, host)),
        *(
            f"GET /{path}{FORBIDDEN}"
            for path in ("", "/", "../", f"{EVIL}/", f"/{EVIL}/", f"http://{EVIL}/", f"{service}x/", f"{service.upper()}/")
        ),
        *(
            f"GET /{service}{sign}{FORBIDDEN}"
            for sign in ("@", "%00/", "\\", ";/../", "%2f..%2f", "/%2e%2e/", "/../", "/../../", "/..\\", "/.%2e/")
        ),
        *(
            f"GET /{service}/{path}/{FORBIDDEN}"
            for path in ("../..", "..%2f..", "..%5c..", "x/../../..", "%2e%2e/%2e%2e", "/../..", "..;/..", "%252e%252e")
        ),
        f"GET /{service}/../{EVIL}/",
        f"GET /{service}//{EVIL}/{FORBIDDEN}",
        f"GET /{service}?x=/../secret",
        "OPTIONS *",
    ):
        raw = ask(line, f"Host: {EVIL}")
        found += [f"{line}: {who}" for who in reached(raw, host)]
        if status(raw) == 200 and f"origin {host} ".encode() + BASE not in raw:
            found.append(f"{line}: {raw[-60:]!r}")
    return found
