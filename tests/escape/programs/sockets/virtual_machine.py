"""AF_VSOCK: leads to the machine's host past every network namespace. Only the socket is made, nobody is called."""
# outside: unsure

import socket

from attempt import attempt, every, made


@attempt
def main():
    return every([lambda kind=kind: made(40, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET)])
