"""Sets the machine's clock (to values that the kernel would not accept), and steers it."""
# outside: escapes

import ctypes
import struct

from attempt import attempt, not_refused


@attempt
def main():
    never = ctypes.create_string_buffer(struct.pack("<qq", 1, 2_000_000_000))
    read_only = ctypes.create_string_buffer(208)
    return not_refused(
        ("settimeofday", never, 0),
        ("clock_settime", 0, never),
        ("adjtimex", read_only),
        ("clock_adjtime", 0, read_only),
    )
