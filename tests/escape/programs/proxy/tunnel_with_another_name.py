"""Opens a tunnel to an allowed host and there asks, in TLS, for another one (domain fronting)."""
# outside: escapes

from attempt import attempt
from proxied import EVIL, GOOD, reached, tunnel, within


@attempt
def main():
    found = []
    for name in (EVIL, f"x.{GOOD}", GOOD[1:], f"{GOOD}.evil.example.net", "127.0.0.1"):
        talk = tunnel(f"{GOOD}:443")
        found += [f"{name}: {who}" for who in reached(within(talk, name))] if talk else []
    return found
