"""Netlink of every kind but routes: audit, packet filter, connector, kernel events, socket diagnosis, generic..."""
# outside: escapes

import socket

from attempt import attempt, every, made


@attempt
def main():
    kinds = (socket.SOCK_RAW, socket.SOCK_DGRAM, socket.SOCK_RAW | socket.SOCK_CLOEXEC)
    return every([lambda kind=kind, protocol=protocol: made(16, kind, protocol) for kind in kinds for protocol in range(1, 32)])
