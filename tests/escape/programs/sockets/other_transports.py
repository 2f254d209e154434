"""MPTCP, SCTP, DCCP, UDP-Lite: what a rule for TCP and UDP forgets."""
# outside: escapes

import socket

from attempt import attempt, every, made


@attempt
def main():
    words = [
        (family, kind, protocol)
        for family in (2, 10)
        for kind, protocol in (
            (socket.SOCK_STREAM, 262),
            (socket.SOCK_STREAM, 132),
            (socket.SOCK_SEQPACKET, 132),
            (6, 33),
            (socket.SOCK_DGRAM, 136),
            (socket.SOCK_STREAM, 255),
        )
    ]
    return every([lambda word=word: made(*word) for word in words])
