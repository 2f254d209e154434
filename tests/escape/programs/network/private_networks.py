"""Connects to private networks: the office, the carrier, the documentation's."""
# outside: escapes

import socket

from attempt import FACTS, attempt, connects, every


@attempt
def main():
    return every(
        [
            lambda address=address: connects(socket.AF_INET6 if ":" in address else socket.AF_INET, (address, 80))
            for address in FACTS["address"]["private"]
        ]
    )
