"""Asks for allowed names that lead to loopback."""
# outside: escapes

from attempt import attempt
from proxied import FORBIDDEN, connects, get, reached

NAMES = ("loopback.example.org", "loopback2.example.org", "zero.example.org", "mapped.example.org")


@attempt
def main():
    found = []
    for name in NAMES:
        found += reached(get(f"http://{name}:8080/{FORBIDDEN}")) + connects(f"{name}:8080", f"{name}:443")
    return found
