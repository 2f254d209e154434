"""Asks for allowed names that lead to the metadata service and other neighbours of the wire."""
# outside: escapes

from attempt import attempt
from proxied import FORBIDDEN, connects, get, reached

NAMES = ("metadata.example.org", "mapped-metadata.example.org", "link-local.example.org")


@attempt
def main():
    found = []
    for name in NAMES:
        found += reached(get(f"http://{name}/{FORBIDDEN}")) + connects(f"{name}:443")
    return found
