"""Takes memory that no accounting shows, and gives pages of its own to a pipe."""
# outside: escapes

import ctypes
import os
import struct

from attempt import attempt, not_refused


@attempt
def main():
    page = ctypes.create_string_buffer(4096)
    vector = ctypes.create_string_buffer(struct.pack("<QQ", ctypes.addressof(page), 4096))
    _, write = os.pipe()
    return not_refused(("memfd_secret", 0), ("vmsplice", write, vector, 1, 0))
