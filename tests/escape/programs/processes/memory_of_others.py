"""Reads and writes the memory of other processes by system calls."""
# outside: escapes

import ctypes
import os
import struct

from attempt import attempt, not_refused


@attempt
def main():
    here, there = ctypes.create_string_buffer(8), ctypes.create_string_buffer(8)
    local = ctypes.create_string_buffer(struct.pack("<QQ", ctypes.addressof(here), 8))
    remote = ctypes.create_string_buffer(struct.pack("<QQ", ctypes.addressof(there), 8))
    return not_refused(
        ("process_vm_readv", os.getpid(), local, 1, remote, 1, 0),
        ("process_vm_writev", os.getpid(), local, 1, remote, 1, 0),
        ("process_madvise", -1, remote, 1, 8, 0),
    )
