"""Looks for a terminal of the host: /dev/tty, /dev/console, other pseudo terminals, taking one over."""
# outside: never

import fcntl
import glob
import os
import termios

from attempt import attempt


@attempt
def main():
    found = []
    for path in ("/dev/tty", "/dev/tty0", "/dev/tty1", "/dev/console", "/dev/ttyS0", "/dev/vcs", *glob.glob("/dev/pts/[0-9]*")):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            fcntl.ioctl(descriptor, termios.TIOCSCTTY, 1)
            found.append(path)
        except OSError:
            pass
    return found
