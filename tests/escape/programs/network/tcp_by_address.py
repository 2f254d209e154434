"""Connects to servers by their addresses, of both families, at the ports that mostly work."""
# outside: escapes

import socket

from attempt import FACTS, attempt, connects, every


@attempt
def main():
    ways = [
        lambda address=address, port=port: connects(socket.AF_INET6 if ":" in address else socket.AF_INET, (address, port))
        for address in (*FACTS["address"]["origin"], *FACTS["address"]["evil"])
        for port in (80, 443, 22, 25, 53, 7000)
    ]
    return every(ways)
