"""Leaves pipes, sockets and endless files, at which a reader would hang or never come to an end."""
# outside: never

import os
import socket

from attempt import attempt


@attempt
def main():
    os.makedirs("special", exist_ok=True)
    os.mkfifo("special/pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("special/socket")
    os.symlink("/dev/zero", "special/endless")
    os.symlink("loop", "special/loop")
    with open("special/sparse", "wb") as file:
        file.truncate(20 << 20)
    os.mkfifo(".git/pipe")
