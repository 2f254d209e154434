"""Opens a tunnel and hides the name in TLS's encrypted first message (ECH)."""
# outside: escapes

from attempt import attempt
from proxied import GOOD, first_message, greeted, records


@attempt
def main():
    outer = b"\0" + b"\0\1\0\1" + b"\x42" + b"\0\x20" + b"k" * 32 + b"\0\x40" + b"c" * 64
    found = []
    for extension in ((0xFE0D, outer), (0xFE0D, b"\1"), (0xFE0D, b""), (0xFFCE, outer), (0xFE08, outer)):
        said = greeted(f"{GOOD}:443", *records(first_message(GOOD, extension)))
        found += [f"{extension[0]:x}"] if said[:1] == b"\x16" else []
    return found
