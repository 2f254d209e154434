"""Goes up and up: from the workspace, from the root, from open folders."""
# outside: escapes

import os

from attempt import FACTS, attempt


@attempt
def main():
    found = []
    for start in (".", "/", "/tmp", "/run", "/proc/self/cwd", "/dev/fd"):
        folder = os.open(start, os.O_PATH | os.O_DIRECTORY)
        for canary in FACTS["canaries"]:
            try:
                os.close(os.open("../" * 40 + canary.lstrip("/"), os.O_RDONLY, dir_fd=folder))
                found.append(f"{start} {canary}")
            except OSError:
                pass
        os.close(folder)
    return found
