"""Takes a lease on the mirror's objects: whoever opens them on the host would wait until it is given back."""
# outside: never

import fcntl
import glob
import os

from attempt import attempt


@attempt
def main():
    found = []
    for path in glob.glob("/run/aienv/objects/*/*/*")[:50]:
        descriptor = os.open(path, os.O_RDONLY)
        for kind in (fcntl.F_WRLCK, fcntl.F_RDLCK):
            try:
                fcntl.fcntl(descriptor, fcntl.F_SETLEASE, kind)
                found.append(f"{kind} {path}")
                fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            except OSError:
                pass
        os.close(descriptor)
    return found
