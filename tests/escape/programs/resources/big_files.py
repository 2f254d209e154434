"""Makes a file that is larger than the workspace may be."""
# outside: unsure

import os
import signal

from attempt import FACTS, attempt


@attempt
def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    descriptor = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
    os.ftruncate(descriptor, FACTS["disk"] + (1 << 20))
    return "a file larger than the limit, if only in name"
