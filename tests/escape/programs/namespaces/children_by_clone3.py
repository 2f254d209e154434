"""Makes children in new namespaces with clone3, whose flags no filter can read."""
# outside: escapes

import ctypes
import errno
import os
import signal
import struct

from attempt import attempt, call


@attempt
def main():
    found = []
    for flag in (0, 0x10000000, 0x20000, 0x80, 0x200000000):
        arguments = ctypes.create_string_buffer(struct.pack("<QQQQQQQQ", flag, 0, 0, 0, signal.SIGCHLD, 0, 0, 0))
        child, problem = call("clone3", arguments, 64)
        if child == 0:
            os._exit(0)
        if child > 0:
            os.waitpid(child, 0)
        if child > 0 or problem != errno.ENOSYS:
            found.append(f"{flag:x}: {child} {errno.errorcode.get(problem, problem)}")
    return found
