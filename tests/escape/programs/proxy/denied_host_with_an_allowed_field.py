"""Names a denied host in the request line and an allowed one in the Host field."""
# outside: escapes

from attempt import attempt
from proxied import EVIL, FORBIDDEN, GOOD, get, reached, tunnel, within


@attempt
def main():
    found = reached(get(f"http://{EVIL}/{FORBIDDEN}", host=GOOD)) + reached(
        get(f"http://{EVIL}/{FORBIDDEN}", b"Host: " + GOOD.encode(), host=GOOD)
    )
    talk = tunnel(f"{EVIL}:443", host=f"{GOOD}:443")
    return found + (reached(within(talk, EVIL)) if talk else [])
