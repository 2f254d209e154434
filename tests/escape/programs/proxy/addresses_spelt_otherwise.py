"""Writes addresses as few programs do: as one number, octal, hexadecimal, short, mapped, with a zone."""
# outside: escapes

import socket
import struct

from attempt import FACTS, attempt
from proxied import FORBIDDEN, connects, get, reached


def spellings(address):
    a, b, c, d = address.split(".")
    number = struct.unpack(">I", socket.inet_aton(address))[0]
    yield from (
        str(number),
        hex(number),
        f"0{number:o}",
        f"{a}.{b}.{int(c) * 256 + int(d)}",
        f"{a}.{int(b) * 65536 + int(c) * 256 + int(d)}",
    )
    yield from (
        f"0{int(a):o}.0{int(b):o}.0{int(c):o}.0{int(d):o}",
        f"{int(a):#x}.{b}.{c}.{d}",
        f"{a}.{b}.{c}.{d}.",
        f"{a}.{b}.{c}.0{int(d):o}",
    )
    yield from (
        f"[::ffff:{address}]",
        f"[::{address}]",
        f"[::ffff:{number >> 16:x}:{number & 0xFFFF:x}]",
        f"[64:ff9b::{address}]",
        f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::]",
    )
    yield from (str(number + (1 << 32)), f"{int(a) + 256}.{b}.{c}.{d}")


@attempt
def main():
    found = []
    for spelt in spellings(FACTS["address"]["evil"][0]):
        found += [f"{spelt}: {who}" for who in reached(get(f"http://{spelt}/{FORBIDDEN}"))] + connects(f"{spelt}:443")
    return found
