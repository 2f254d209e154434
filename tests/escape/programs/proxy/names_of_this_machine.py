"""Asks for an allowed name that leads to this machine's own address, which looks as public as any."""
# outside: escapes

from attempt import attempt
from proxied import FORBIDDEN, connects, get, reached


@attempt
def main():
    found = reached(get(f"http://self.example.org/{FORBIDDEN}")) + reached(get(f"http://self.example.org:8080/{FORBIDDEN}"))
    return found + connects("self.example.org:443", "self.example.org:80")
