"""Takes more temporary space than is given: /tmp, /run, /dev/shm and the home folder lie in memory."""
# outside: never

import os

from attempt import attempt


@attempt
def main():
    found = []
    for folder in ("/tmp", "/run", "/dev/shm", os.environ["HOME"]):
        facts = os.statvfs(folder)
        if facts.f_blocks * facts.f_frsize > 1 << 30:
            found.append(f"{folder} has {facts.f_blocks * facts.f_frsize >> 20} MiB")
        descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, (1 << 30) + (1 << 20))
            found.append(f"{folder} gave more than a GiB")
        except OSError:
            pass
        os.close(descriptor)
    return found
