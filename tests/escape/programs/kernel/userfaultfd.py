"""Handles page faults by itself, which makes races in the kernel winnable."""
# outside: escapes

import os

from attempt import attempt, not_refused


@attempt
def main():
    found = not_refused(("userfaultfd", 0), ("userfaultfd", 1))
    try:
        os.close(os.open("/dev/userfaultfd", os.O_RDWR))
        found.append("/dev/userfaultfd")
    except OSError:
        pass
    return found
