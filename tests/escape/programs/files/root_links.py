"""Goes to the host's files through links below /proc: root, cwd and open folders of every process."""
# outside: escapes

import glob
import os

from attempt import FACTS, attempt


@attempt
def main():
    roots = [
        "/proc/self/root",
        "/proc/1/root",
        "/proc/thread-self/root",
        "/oldroot",
        "/newroot",
        "/host",
        "/rootfs",
        "/.pivot_root",
        "/run/host",
    ]
    roots += [path for name in ("root", "cwd", "fd/*") for path in glob.glob(f"/proc/[0-9]*/{name}")]
    return [path for path in (root + canary for root in roots for canary in FACTS["canaries"]) if os.path.exists(path)][:5]
