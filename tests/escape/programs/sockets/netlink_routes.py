"""Netlink for routes is there for programs that list interfaces: it must not change anything."""
# outside: escapes

import socket
import struct

from attempt import attempt, call

RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWRULE, RTM_NEWNEIGH = 16, 20, 24, 32, 28


def ask(sock, kind, body):
    """The kernel's answer: 0 when it did it."""
    sock.send(struct.pack("<IHHII", 16 + len(body), kind, 0x1 | 0x4 | 0x400, 1, 0) + body)
    answer = sock.recv(8192)
    return struct.unpack("<i", answer[16:20])[0] if struct.unpack("<H", answer[4:6])[0] == 2 else 0


@attempt
def main():
    name = struct.pack("<HH", 10, 3) + b"dummy\0" + b"\0\0"
    kind = struct.pack("<HH", 16, 18) + struct.pack("<HH", 10, 1) + b"dummy\0" + b"\0\0"
    bodies = {
        "a link": (RTM_NEWLINK, struct.pack("<BxHiII", 0, 0, 0, 0, 0) + name + kind),
        "loopback down": (RTM_NEWLINK, struct.pack("<BxHiII", 0, 0, 1, 0, 1)),
        "an address": (RTM_NEWADDR, struct.pack("<BBBBI", 2, 24, 0, 0, 1) + struct.pack("<HH", 8, 2) + b"\x0a\x63\x63\x01"),
        "a route": (
            RTM_NEWROUTE,
            struct.pack("<BBBBBBBBI", 2, 24, 0, 0, 254, 3, 253, 1, 0)
            + struct.pack("<HH", 8, 1)
            + b"\x0a\x63\x62\x00"
            + struct.pack("<HHI", 8, 4, 1),
        ),
        "a rule": (RTM_NEWRULE, struct.pack("<BBBBBBBBI", 2, 0, 0, 0, 254, 3, 0, 1, 0)),
    }
    found = []
    call("unshare", 0x40000000)  # where that is allowed, the machine's own network is spared
    with socket.socket(16, socket.SOCK_RAW, 0) as sock:
        sock.settimeout(3)
        for words, (number, body) in bodies.items():
            if ask(sock, number, body) == 0:
                found.append(words)
    return found
