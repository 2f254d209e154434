"""Has an allowed server send the proxy elsewhere: it must leave that to us."""
# outside: never

from attempt import attempt
from proxied import EVIL, GOOD, get, reached, status


@attempt
def main():
    found = []
    for target in (f"http://{EVIL}/elsewhere", "http://169.254.169.254/latest/", "http://127.0.0.1:8080/elsewhere"):
        raw = get(f"http://{GOOD}/redirect/?to={target}")
        assert status(raw) == 302, raw
        found += reached(raw, GOOD)
    return found
