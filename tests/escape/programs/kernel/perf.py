"""Opens performance counters, of itself and of the whole machine."""
# outside: escapes

import ctypes
import struct

from attempt import attempt, not_refused


@attempt
def main():
    software = ctypes.create_string_buffer(struct.pack("<IIQQQQ", 1, 112, 0, 0, 0, 0) + b"\0" * 80)
    return not_refused(("perf_event_open", software, 0, -1, -1, 0), ("perf_event_open", software, -1, 0, -1, 0))
