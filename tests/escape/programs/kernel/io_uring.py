"""Makes a ring whose opens and connects no filter of system calls sees."""
# outside: escapes

import ctypes

from attempt import attempt, not_refused


@attempt
def main():
    parameters = ctypes.create_string_buffer(120)
    return not_refused(("io_uring_setup", 4, parameters), ("io_uring_enter", -1, 1, 0, 0, 0, 0), ("io_uring_register", -1, 0, 0, 0))
