"""Connects to a socket of the host that has a name but no file."""
# outside: escapes

import socket

from attempt import FACTS, attempt, connects, every


@attempt
def main():
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET)
    return every([lambda kind=kind: connects(socket.AF_UNIX, "\0" + FACTS["abstract"], kind) for kind in kinds])
