"""Asks an allowed host at ports that are not allowed: mail, login, another web server."""
# outside: escapes

from attempt import attempt
from proxied import FORBIDDEN, GOOD, connects, get, reached


@attempt
def main():
    return reached(get(f"http://{GOOD}:8080/{FORBIDDEN}")) + connects(
        f"{GOOD}:22", f"{GOOD}:25", f"{GOOD}:53", f"{GOOD}:8080", f"{GOOD}:8443"
    )
