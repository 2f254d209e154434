"""Makes children in new namespaces with clone."""
# outside: escapes

import os
import signal

from attempt import attempt, call

FLAGS = (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x8000000, 0x4000000, 0x2000000, 0x10020000, 0x10000000 | 1 << 32)


@attempt
def main():
    found = []
    for flag in FLAGS:
        child, _ = call("clone", flag | signal.SIGCHLD, 0, 0, 0, 0)
        if child == 0:
            os._exit(0)
        if child > 0:
            os.waitpid(child, 0)
            found.append(f"{flag:x}")
    return found
