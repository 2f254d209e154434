"""Looks for control groups that can be written: a release agent is a program that the kernel starts outside (CVE-2022-0492)."""
# outside: escapes

import os

from attempt import attempt, opened_for_writing

NAMES = ("release_agent", "notify_on_release", "cgroup.procs", "tasks", "devices.allow", "memory.max", "memory.limit_in_bytes", "pids.max")


@attempt
def main():
    paths = []
    for folder, names, files in os.walk("/sys/fs/cgroup"):
        paths += [os.path.join(folder, name) for name in files if name in NAMES]
        if folder.count("/") > 6 or len(paths) > 3000:
            names.clear()
    return opened_for_writing(*paths)[:10]
