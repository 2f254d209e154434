"""Raw sockets of both families: any protocol, any source address."""
# outside: escapes

import socket

from attempt import attempt, every, made


@attempt
def main():
    words = [
        (family, kind, protocol)
        for family in (2, 10)
        for kind in (socket.SOCK_RAW, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
        for protocol in (1, 6, 17, 58, 255)
    ]
    return every([lambda word=word: made(*word) for word in words])
