"""Chooses interface, mark and source address by itself, past routes and rules."""
# outside: escapes

import socket

from attempt import attempt, every


def choose(level, option, value):
    with socket.socket() as sock:
        sock.setsockopt(level, option, value)
    return f"{level} {option}"


@attempt
def main():
    options = (
        (socket.SOL_SOCKET, 36, b"\1\0\0\0"),
        (socket.SOL_IP, 19, b"\1\0\0\0"),
        (socket.SOL_SOCKET, 33, b"\1\0\0\0"),
        (socket.IPPROTO_TCP, 31, b"x\0"),
    )
    return every([lambda option=option: choose(*option) for option in options[:3]])
