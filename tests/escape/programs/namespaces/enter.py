"""Enters namespaces: its own, the first process's, by file and by process."""
# outside: escapes

import os

from attempt import attempt, call, not_refused


@attempt
def main():
    calls = []
    for pid in ("self", "1"):
        for kind in ("user", "mnt", "net", "pid", "ipc", "uts", "cgroup", "time"):
            try:
                calls.append(("setns", os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY), 0))
            except OSError:
                pass
    descriptor, _ = call("pidfd_open", 1, 0)
    return not_refused(*calls, ("setns", descriptor, 0x20000), ("setns", descriptor, 0x7C020000), ("setns", -1, 0))
