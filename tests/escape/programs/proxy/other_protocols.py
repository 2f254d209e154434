"""Speaks SOCKS, FTP and TLS to the proxy, and takes any agreement for one."""
# outside: unsure

import socket

from attempt import attempt
from proxied import EVIL, Conversation, first_message, records


@attempt
def main():
    found = []
    name = EVIL.encode()
    for said in (
        b"\x05\x01\x00",
        b"\x05\x02\x00\x02",
        b"\x04\x01\x01\xbb" + socket.inet_aton("93.184.216.66") + b"\0",
        b"\x04\x01\x01\xbb\0\0\0\1\0" + name + b"\0",
        b"USER anonymous\r\n",
        b"\x16\x03\x01\0\x05hello",
        *records(first_message(EVIL)),
        b"\r\n\r\n\r\n",
    ):
        raw = Conversation().say(said).rest(0.2)
        found += [f"{said[:8]!r}: {raw[:20]!r}"] if raw[:1] in (b"\x05", b"\x00", b"\x16") or raw.startswith((b"220", b"331")) else []
    return found
