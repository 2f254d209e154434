"""Connects to the host's own addresses on its interfaces."""
# outside: escapes

import socket

from attempt import FACTS, attempt, connects, every


@attempt
def main():
    ways = [
        lambda address=address, port=port: connects(socket.AF_INET6 if ":" in address else socket.AF_INET, (address, port))
        for address in FACTS["address"]["host"]
        for port in (FACTS["host_port"], 80, 22)
    ]
    return every(ways)
