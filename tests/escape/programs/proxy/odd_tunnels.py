"""Asks for tunnels in odd words: no port, more ports, a URL, a body, a user name, an allowed host elsewhere in the request."""
# outside: escapes

from attempt import attempt
from proxied import EVIL, GOOD, connects, reached, tunnel, within


@attempt
def main():
    odd = (
        EVIL,
        f"{EVIL}:443/{GOOD}:443",
        f"http://{EVIL}:443",
        f"{GOOD}:443 {EVIL}:443",
        f"{EVIL}:443#{GOOD}",
        f"{EVIL}:0443",
        f"{EVIL}:443.",
        f"[{EVIL}]:443",
        f"{EVIL}:https",
        f"{GOOD},{EVIL}:443",
        f"{EVIL}:",
        f":443@{EVIL}:443",
    )
    found = connects(*odd)
    for fields in ((b"Content-Length: 5",), (b"Transfer-Encoding: chunked",), (b"Upgrade: tcp", b"Connection: Upgrade")):
        talk = tunnel(f"{EVIL}:443", *fields, host=f"{GOOD}:443")
        found += reached(within(talk, EVIL)) if talk else []
    return found
