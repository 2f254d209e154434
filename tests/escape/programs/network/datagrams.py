"""Sends datagrams to anybody: the network must not take a single one."""
# outside: escapes

import socket

from attempt import FACTS, attempt, every


def send(address, port, options=()):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for option in options:
            sock.setsockopt(*option)
        sock.sendto(b"datagram", (address, port))
    return f"sent to {address} {port}"


@attempt
def main():
    outside = [
        *FACTS["address"]["origin"],
        *FACTS["address"]["evil"],
        *FACTS["address"]["host"],
        "192.0.2.1",
        "2001:db8::1",
        "169.254.169.254",
    ]
    ways = [lambda address=address, port=port: send(address, port) for address in outside for port in (53, 123, 443, 4500)]
    broadcast = ((socket.SOL_SOCKET, socket.SO_BROADCAST, 1),)
    ways += [
        lambda address=address: send(address, 5353, broadcast)
        for address in ("255.255.255.255", "224.0.0.251", "239.255.255.250", "172.17.255.255")
    ]
    return every(ways)
