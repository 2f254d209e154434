"""Raises its priority: nice values, real-time scheduling, deadlines, disk priority."""
# outside: escapes

import ctypes
import os
import struct

from attempt import attempt, call, every


def nicer():
    os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) - 5)
    return "nice"


@attempt
def main():
    found = every([nicer])
    parameter = ctypes.create_string_buffer(struct.pack("i", 1))
    found += [f"policy {policy}" for policy in (1, 2) if call("sched_setscheduler", 0, policy, parameter)[0] == 0]
    deadline = ctypes.create_string_buffer(struct.pack("<IIQiIQQQ", 48, 6, 0, 0, 0, 10_000_000, 30_000_000, 30_000_000))
    found += ["deadline"] if call("sched_setattr", 0, deadline, 0)[0] == 0 else []
    return found + (["disk priority"] if call("ioprio_set", 1, 0, 1 << 13)[0] == 0 else [])
