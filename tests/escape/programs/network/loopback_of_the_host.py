"""Connects to what listens on the host's loopback, by each way of writing that address."""
# outside: escapes

import socket

from attempt import FACTS, attempt, connects, every

ADDRESSES = (
    "127.0.0.1",
    "127.1.2.3",
    "0.0.0.0",
    "localhost",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "host.docker.internal",
    "gateway.docker.internal",
)


@attempt
def main():
    return every(
        [
            lambda address=address: connects(socket.AF_INET6 if ":" in address else socket.AF_INET, (address, FACTS["host_port"]))
            for address in ADDRESSES
        ]
    )
