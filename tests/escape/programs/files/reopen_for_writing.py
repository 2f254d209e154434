"""Opens read-only files for reading and again, through /proc/self/fd, for writing."""
# outside: escapes

import glob
import os

from attempt import attempt, opened_for_writing


@attempt
def main():
    paths = ["/etc/passwd", "/usr/bin/env", ".git/config", *glob.glob("/run/aienv/objects/*/pack/*")[:4], *glob.glob(".git/hooks/*")[:2]]
    descriptors = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in paths if os.path.exists(path)]
    descriptors += [os.open(path, os.O_PATH | os.O_CLOEXEC) for path in paths if os.path.exists(path)]
    return opened_for_writing(
        *(f"/proc/self/fd/{descriptor}" for descriptor in descriptors), *(f"/dev/fd/{descriptor}" for descriptor in descriptors)
    )
