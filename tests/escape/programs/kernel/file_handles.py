"""Opens files by handle, past every mount (the way of "shocker")."""
# outside: escapes

import ctypes
import struct

from attempt import attempt, not_refused


@attempt
def main():
    handle = ctypes.create_string_buffer(struct.pack("<Ii", 128, 0) + b"\0" * 128)
    mount = ctypes.c_int()
    root = ctypes.create_string_buffer(struct.pack("<IiII", 8, 1, 2, 0))
    return not_refused(("name_to_handle_at", -100, b"/", handle, ctypes.byref(mount), 0), ("open_by_handle_at", -100, root, 0))
