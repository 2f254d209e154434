"""Makes device nodes: a disk, the kernel's memory, the null device."""
# outside: escapes

import os
import stat

from attempt import attempt, every


def make(folder, kind, major, minor):
    path = os.path.join(folder, f"device-{os.getpid()}")
    os.mknod(path, kind | 0o600, os.makedev(major, minor))
    os.unlink(path)
    return f"{folder} {major}:{minor}"


@attempt
def main():
    kinds = ((stat.S_IFBLK, 8, 0), (stat.S_IFBLK, 254, 0), (stat.S_IFCHR, 1, 1), (stat.S_IFCHR, 1, 3), (stat.S_IFCHR, 10, 232))
    return every([lambda folder=folder, kind=kind: make(folder, *kind) for folder in ("/tmp", ".", "/dev/shm") for kind in kinds])
