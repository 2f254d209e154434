"""Raises capabilities: permitted, inheritable and ambient ones."""
# outside: escapes

import ctypes
import struct

from attempt import attempt, call


@attempt
def main():
    found = []
    head = ctypes.create_string_buffer(struct.pack("<II", 0x20080522, 0))
    for bits in (1 << 21, 1 << 12, 0xFFFFFFFF):
        data = ctypes.create_string_buffer(struct.pack("<IIIIII", bits, bits, bits, 0, 0, 0))
        if call("capset", head, data)[0] == 0:
            found.append(f"capset {bits:x}")
    found += [f"ambient {one}" for one in (12, 21) if call("prctl", 47, 2, one, 0, 0)[0] == 0]
    return found
