"""Ping sockets: ICMP without being root."""
# outside: unsure

import socket

from attempt import attempt, every, made


@attempt
def main():
    return every([lambda: made(2, socket.SOCK_DGRAM, 1), lambda: made(10, socket.SOCK_DGRAM, 58)])
