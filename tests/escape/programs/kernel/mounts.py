"""Mounts, unmounts, changes the root."""
# outside: escapes

import os

from attempt import SCRATCH, attempt, not_refused


@attempt
def main():
    folder = f"{SCRATCH}/mount".encode()
    os.makedirs(folder, exist_ok=True)
    return not_refused(
        ("mount", b"none", folder, b"tmpfs", 0, 0),
        ("mount", b"/", folder, 0, 0x1000, 0),
        ("mount", b"none", b"/", 0, 0x44000, 0),
        ("mount", b"proc", folder, b"proc", 0, 0),
        ("mount", b"none", folder, 0, 0x1020, 0),
        ("umount2", folder, 2),
        ("umount2", b"/nonexistent", 10),
        ("pivot_root", folder, folder),
    )
