"""Asks the proxy's own machine, by every way of writing loopback."""
# outside: escapes

from attempt import FACTS, attempt
from proxied import FORBIDDEN, connects, get, reached

NAMES = (
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "127.8.8.8",
    "0",
    "0.0.0.0",
    "localhost",
    "localhost.",
    "LOCALHOST",
    "a.localhost",
    "ip6-localhost",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[0:0:0:0:0:0:0:1]",
    "[::127.0.0.1]",
    "[::1%25lo]",
    "[fe80::1%25lo]",
    "127.0.0.1.",
    "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460",
    "\uff11\uff12\uff17.0.0.1",
    "127\u30020\u30020\u30021",
)


@attempt
def main():
    port, found = FACTS["host_port"], []
    for name in NAMES:
        url = f"http://{name}:{port}/{FORBIDDEN}".encode()
        found += [f"{name}: {who}" for who in reached(get(url))]
    return found + connects(*(f"{name}:{port}" for name in NAMES[:20]), "127.0.0.1:443", "localhost:22")
