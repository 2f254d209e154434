"""Asks for servers by address: those of denied hosts, and those of allowed ones, which were allowed by name alone."""
# outside: escapes

from attempt import FACTS, attempt
from proxied import FORBIDDEN, connects, get, reached


@attempt
def main():
    found = []
    for address in (*FACTS["address"]["evil"], *FACTS["address"]["origin"]):
        written = f"[{address}]" if ":" in address else address
        found += reached(get(f"http://{written}/{FORBIDDEN}")) + connects(f"{written}:443", f"{written}:80")
    return found
