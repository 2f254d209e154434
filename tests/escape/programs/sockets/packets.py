"""AF_PACKET: whole frames of the network."""
# outside: escapes

import socket

from attempt import attempt, every, made


@attempt
def main():
    return every([lambda kind=kind: made(17, kind, 0x0300) for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM, 10)])
