"""Opens every setting of the kernel for writing: core_pattern, modprobe, hostname, ip_forward..."""
# outside: escapes

import os

from attempt import attempt, opened_for_writing


@attempt
def main():
    paths = [os.path.join(folder, name) for folder, _, files in os.walk("/proc/sys") for name in files]
    assert len(paths) > 100
    return opened_for_writing(*paths)
