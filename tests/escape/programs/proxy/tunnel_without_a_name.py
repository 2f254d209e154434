"""Opens a tunnel and begins TLS without saying for whom."""
# outside: escapes

from attempt import attempt
from proxied import GOOD, reached, tunnel, within


@attempt
def main():
    talk = tunnel(f"{GOOD}:443")
    return reached(within(talk, None)) if talk else None
