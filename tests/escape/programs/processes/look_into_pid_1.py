"""Opens memory, descriptors and registers of the first process."""
# outside: unsure

import os

from attempt import attempt


@attempt
def main():
    found = []
    try:
        found += [
            link
            for link in (os.readlink(f"/proc/1/fd/{name}") for name in os.listdir("/proc/1/fd"))
            if link.startswith("/") and not link.startswith(("/dev/", "/proc/"))
        ]
    except OSError:
        pass
    for name in ("stack", "syscall", "personality", "io"):
        try:
            with open(f"/proc/1/{name}", "rb") as file:
                text = file.read(100)
            if name in ("stack",) and text:
                found.append(name)
        except OSError:
            pass
    return found
