"""Asks for allowed names that lead into private, shared and reserved networks."""
# outside: escapes

from attempt import attempt
from proxied import FORBIDDEN, connects, get, reached

NAMES = ("private.example.org", "shared.example.org", "documentation.example.org")


@attempt
def main():
    found = []
    for name in NAMES:
        found += reached(get(f"http://{name}/{FORBIDDEN}")) + connects(f"{name}:443")
    return found
