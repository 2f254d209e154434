"""Says two names in TLS's first message, or one with odd signs, or cut into pieces: the server may read another than the proxy."""
# outside: escapes

import struct

from attempt import attempt
from proxied import EVIL, GOOD, first_message, greeted, records


def names(*listed):
    entries = b"".join(b"\0" + struct.pack(">H", len(name)) + name for name in listed)
    return struct.pack(">H", len(entries)) + entries


@attempt
def main():
    good, evil = GOOD.encode(), EVIL.encode()
    found = []
    without = first_message(None)
    for label, extensions in {
        "two entries": [(0, names(good, evil))],
        "two extensions": [(0, names(good)), (0, names(evil))],
        "nul": [(0, names(good + b"\0." + evil))],
        "evil alone": [(0, names(evil))],
        "empty": [(0, names(b""))],
        "blank": [(0, names(good + b" "))],
        "upper part": [(0, names(b"x@" + good))],
    }.items():
        message = first_message(None, *extensions)
        found += [label] if greeted(f"{GOOD}:443", *records(message))[:1] == b"\x16" else []
    message = first_message(EVIL)
    at = message.find(evil)
    for label, parts in {
        "records": records(message, 1, 3, at, 2),
        "one octet each": records(message, *[1] * 60),
        "segments": [bytes([byte]) for byte in b"".join(records(message))[:80]],
    }.items():
        rest = b"".join(records(message))[80:] if label == "segments" else b""
        found += [f"evil in {label}"] if greeted(f"{GOOD}:443", *parts, rest)[:1] == b"\x16" else []
    return found + (["no names at all"] if greeted(f"{GOOD}:443", *records(without))[:1] == b"\x16" else [])
