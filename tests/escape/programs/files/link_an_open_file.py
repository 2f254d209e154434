"""Gives an open file of the system a name in the workspace (linkat with AT_EMPTY_PATH, and through /proc/self/fd)."""
# outside: unsure

import os

from attempt import LIBC, attempt


@attempt
def main():
    found = []
    for path in ("/etc/passwd", "/usr/bin/env"):
        descriptor = os.open(path, os.O_RDONLY)
        for source, flags in ((b"", 0x1000), (f"/proc/self/fd/{descriptor}".encode(), 0x400)):
            if LIBC.linkat(descriptor if not source else -100, source, -100, b"open-link", flags) == 0:
                os.unlink("open-link")
                found.append(path)
    return found
