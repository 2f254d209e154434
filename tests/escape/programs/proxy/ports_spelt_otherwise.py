"""Writes ports so that one reader sees an allowed one and another does not."""
# outside: escapes

from attempt import attempt
from proxied import FORBIDDEN, GOOD, connects, get, reached


@attempt
def main():
    ports = ("08080", "+8080", "8080 ", "0x1f90", "65616", "80:8080", "8080#:80", "8080?:80", "8080/:80", "8080%00", "-57456")
    found = []
    for port in ports:
        found += reached(get(f"http://{GOOD}:{port}/{FORBIDDEN}"))
    return found + connects(f"{GOOD}:0022", f"{GOOD}:65558", f"{GOOD}:443:22", f"{GOOD}:22 ", f"{GOOD}:+22")
