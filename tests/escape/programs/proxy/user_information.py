"""Puts an allowed host where a user name stands, and the denied one behind it."""
# outside: escapes

from attempt import attempt
from proxied import EVIL, FORBIDDEN, GOOD, connects, get, reached


@attempt
def main():
    found = []
    for authority in (
        f"{GOOD}@{EVIL}",
        f"{GOOD}:80@{EVIL}",
        f"{GOOD}:80@{EVIL}:80",
        f"@{EVIL}",
        f"{GOOD}%40{EVIL}",
        f"{GOOD}@{EVIL}@{GOOD}@{EVIL}",
        f"user:pass@{EVIL}",
    ):
        found += [f"{authority}: {who}" for who in reached(get(f"http://{authority}/{FORBIDDEN}"), GOOD)]
    return found + connects(f"{GOOD}@{EVIL}:443", f"{GOOD}:443@{EVIL}:443", f"{EVIL}:443@{GOOD}:443")
