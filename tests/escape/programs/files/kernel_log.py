"""Reads and writes the kernel's log."""
# outside: escapes

import os

from attempt import attempt, every, not_refused


def opened(path, flags):
    os.close(os.open(path, flags | os.O_NONBLOCK))
    return path


@attempt
def main():
    ways = [
        lambda path=path, flags=flags: opened(path, flags) for path in ("/dev/kmsg", "/proc/kmsg") for flags in (os.O_RDONLY, os.O_WRONLY)
    ]
    return every(ways) + not_refused(("syslog", 10, 0, 0))
