"""Takes open files out of other processes, and compares processes' kernel objects."""
# outside: escapes

import os

from attempt import attempt, call, not_refused


@attempt
def main():
    descriptor, _ = call("pidfd_open", os.getpid(), 0)
    return not_refused(("pidfd_getfd", descriptor, 0, 0), ("kcmp", os.getpid(), os.getpid(), 0, 0, 0))
