"""Opens the kernel's and the machine's memory."""
# outside: unsure

import os

from attempt import attempt


@attempt
def main():
    found = []
    for path in (
        "/dev/mem",
        "/dev/kmem",
        "/dev/port",
        "/proc/kcore",
        "/dev/nvram",
        "/proc/kpageflags",
        "/proc/kpagecount",
        "/dev/cpu/0/msr",
    ):
        try:
            os.close(os.open(path, os.O_RDONLY))
            found.append(path)
        except OSError:
            pass
    return found
