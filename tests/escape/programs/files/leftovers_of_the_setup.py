"""Looks for what the making of the sandbox may leave behind: the old root, new root, files of binds."""
# outside: never

import glob
import os

from attempt import attempt


@attempt
def main():
    paths = ("/oldroot", "/newroot", "/old", "/.old", "/tmp/oldroot", "/bindfile", "/.bubblewrap", "/put_old")
    return [path for path in paths if os.path.lexists(path)] + glob.glob("/bindfile*") + glob.glob("/tmp/bubblewrap*")
