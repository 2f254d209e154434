"""Looks for device nodes beyond those that every program needs."""
# outside: escapes

import os
import stat

from attempt import attempt

KNOWN = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "console", "pts", "shm", "fd", "stdin", "stdout", "stderr", "core"}


@attempt
def main():
    found = [name for name in os.listdir("/dev") if name not in KNOWN]
    for folder in ("/tmp", "/run", os.environ.get("HOME", "/"), "."):
        for name in os.listdir(folder):
            mode = os.lstat(os.path.join(folder, name)).st_mode
            if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
                found.append(os.path.join(folder, name))
    return found
