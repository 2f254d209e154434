"""Looks for open files that came from outside: folders, sockets, memory, files of the host."""
# outside: escapes

import os
import stat

from attempt import attempt


@attempt
def main():
    found = []
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        try:
            link, mode = os.readlink(f"/proc/self/fd/{number}"), os.fstat(number).st_mode
        except OSError:
            continue
        if number <= 2 and (stat.S_ISFIFO(mode) or link in ("/dev/null",) or link.startswith("/dev/pts/")):
            continue
        if link.startswith(f"/proc/{os.getpid()}/"):
            continue
        found.append(f"{number} -> {link}")
    return found
