"""Loads programs and makes maps in the kernel."""
# outside: escapes

import ctypes
import struct

from attempt import attempt, not_refused


@attempt
def main():
    array = ctypes.create_string_buffer(struct.pack("<IIIII", 2, 4, 8, 1, 0) + b"\0" * 100)
    return not_refused(("bpf", 0, array, 72), ("bpf", 5, b"\0" * 120, 120), ("bpf", 18, b"\0" * 120, 120))
