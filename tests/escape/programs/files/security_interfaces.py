"""Opens the kernel's tracing, debugging and security file systems."""
# outside: unsure

import os

from attempt import attempt


@attempt
def main():
    folders = (
        "/sys/kernel/debug",
        "/sys/kernel/tracing",
        "/sys/kernel/security",
        "/sys/fs/bpf",
        "/sys/fs/selinux",
        "/sys/firmware/efi/efivars",
        "/proc/sys/fs/binfmt_misc",
        "/sys/fs/fuse/connections",
        "/sys/fs/pstore",
    )
    found = []
    for folder in folders:
        try:
            found += [f"{folder}/{name}" for name in os.listdir(folder)][:1]
        except OSError:
            pass
    return found
