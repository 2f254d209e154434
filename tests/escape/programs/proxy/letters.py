"""Writes a denied name in other letters: capitals, a dot at its end, percent signs, full width, soft hyphens, punycode."""
# outside: escapes

from attempt import attempt
from proxied import EVIL, FORBIDDEN, connects, get, reached

SPELT = (
    "EVIL.EXAMPLE.NET",
    "evil.example.net.",
    "EVIL.example.NET.",
    "evil.example.net..",
    "%65vil.example.net",
    "evil%2eexample%2enet",
    "\uff45\uff56\uff49\uff4c.example.net",
    "evil\u3002example\u3002net",
    "evil\u00ad.example.net",
    "ev\u0131l.example.net",
    "xn--evil-.example.net",
    "evil.example.net\u200b",
    ".evil.example.net",
    "evil..example.net",
)


@attempt
def main():
    found = []
    for name in SPELT:
        found += [f"{name}: {who}" for who in reached(get(f"http://{name}/{FORBIDDEN}".encode(), host=EVIL))]
        found += connects(f"{name}:443".encode())
    return found
