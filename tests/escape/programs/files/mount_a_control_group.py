"""Mounts a control group hierarchy of its own, in every way that a container escape used."""
# outside: never

import os

from attempt import attempt, not_refused


@attempt
def main():
    os.makedirs("/tmp/group", exist_ok=True)
    return not_refused(
        ("mount", b"cgroup", b"/tmp/group", b"cgroup", 0, b"rdma"),
        ("mount", b"cgroup", b"/tmp/group", b"cgroup", 0, b"memory"),
        ("mount", b"none", b"/tmp/group", b"cgroup2", 0, 0),
    )
