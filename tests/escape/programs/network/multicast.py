"""Joins and sends to groups of the neighbourhood."""
# outside: unsure

import socket
import struct

from attempt import attempt, every


def join(group):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + socket.inet_aton("0.0.0.0"))
        sock.sendto(b"x", (group, 5353))
    return group


def send6(address):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        for index, name in socket.if_nameindex():
            if name != "lo":
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, struct.pack("I", index))
                sock.sendto(b"x", (address, 5353, 0, index))
                return f"{address} at {name}"
    return None


@attempt
def main():
    return every([lambda: join("224.0.0.251"), lambda: join("239.255.255.250"), lambda: send6("ff02::1"), lambda: send6("ff02::fb")])
