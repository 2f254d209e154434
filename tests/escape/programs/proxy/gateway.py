"""Asks the gateway for services that it does not have, by paths that lead elsewhere, and as if it were the proxy."""
# outside: never

from attempt import FACTS, attempt
from proxied import EVIL, FORBIDDEN, GOOD, exchange, origins, reached, status

GATEWAY = ("127.0.0.1", 3129)


@attempt
def main():
    if GATEWAY[1] not in FACTS["own_ports"]:
        return None
    found = []
    service = FACTS.get("service", "none")
    for line in (
        f"GET http://{EVIL}/{FORBIDDEN}",
        f"CONNECT {EVIL}:443",
        f"GET /{EVIL}/{FORBIDDEN}",
        f"GET //{EVIL}/{FORBIDDEN}",
        "GET /",
        "GET /../",
        f"GET /{service}/../{EVIL}/",
        f"GET /{service}/..%2f..%2f{FORBIDDEN}",
        f"GET /{service}/%2e%2e/{FORBIDDEN}",
        f"GET /{service}//{EVIL}/{FORBIDDEN}",
        f"GET /{service}@{EVIL}/{FORBIDDEN}",
        f"GET /{service}\\..\\{FORBIDDEN}",
        f"GET /{service}/../../{FORBIDDEN}",
        f"GET /{service}%00/{FORBIDDEN}",
        "OPTIONS *",
        f"GET /{service.upper()}x/{FORBIDDEN}",
        f"GET http://{GOOD}/{FORBIDDEN}",
    ):
        raw = exchange(f"{line} HTTP/1.1\r\nHost: {EVIL}\r\nConnection: close\r\n\r\n".encode(), address=GATEWAY)
        found += [f"{line}: {who}" for who in reached(raw)] + (
            [f"{line}: {status(raw)}"] if status(raw) == 200 and not origins(raw) else []
        )
    return found
