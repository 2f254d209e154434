"""Asks for a denied name below an allowed wildcard, in every spelling: denial comes first."""
# outside: escapes

from attempt import attempt
from proxied import FORBIDDEN, connects, get, reached

DENIED = ("blocked.wild.example.org", "BLOCKED.wild.example.org", "blocked.wild.example.org.", "blocked.WILD.example.org.")


@attempt
def main():
    return [who for name in DENIED for who in reached(get(f"http://{name}/{FORBIDDEN}"))] + connects(*(f"{name}:443" for name in DENIED))
