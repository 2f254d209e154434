"""Connects to sockets of the host that are files anybody may use."""
# outside: escapes

import socket

from attempt import FACTS, attempt, connects, every


@attempt
def main():
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    prefixes = ("", "/proc/1/root", "/proc/self/root", "/oldroot")
    return every(
        [
            lambda path=prefix + path, kind=kind: connects(socket.AF_UNIX, path, kind)
            for prefix in prefixes
            for path in FACTS["sockets"]
            for kind in kinds
        ]
    )
