"""Asks again and again for allowed names whose answer changes between the check and the connection."""
# outside: escapes

import time

from attempt import attempt
from proxied import GOOD, connects, get, reached


@attempt
def main():
    found = []
    for name in ("rebind.example.org", "rebind-back.example.org", "mixed.example.org"):
        for _ in range(4):
            found += [f"{name}: {who}" for who in reached(get(f"http://{name}:8080/names-that-change"), GOOD)]
        time.sleep(0.05)
        found += [line for line in connects(f"{name}:443", path="/names-that-change") if GOOD not in line]
    return found
