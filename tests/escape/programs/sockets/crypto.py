"""AF_ALG: the kernel's crypto, whose page-cache writes left every container (CVE-2026-31431)."""
# outside: unsure

import socket

from attempt import attempt, every, made


@attempt
def main():
    return every(
        [
            lambda kind=kind: made(38, kind)
            for kind in (socket.SOCK_SEQPACKET, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC, socket.SOCK_STREAM)
        ]
    )
