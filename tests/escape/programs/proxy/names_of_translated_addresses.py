"""Asks for allowed names whose addresses wrap another: translated, tunnelled, for everybody, for a group."""
# outside: unsure

from attempt import attempt
from proxied import FORBIDDEN, connects, get, reached

NAMES = ("nat64.example.org", "six-to-four.example.org", "broadcast.example.org", "multicast.example.org", "mapped.example.org")


@attempt
def main():
    found = []
    for name in NAMES:
        found += reached(get(f"http://{name}/{FORBIDDEN}")) + connects(f"{name}:443")
    return found
