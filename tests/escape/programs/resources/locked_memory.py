"""Locks much memory, so that it cannot be swapped out."""
# outside: unsure

import mmap

from attempt import LIBC, attempt


@attempt
def main():
    memory = mmap.mmap(-1, 256 << 20)
    import ctypes

    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    return "256 MiB locked" if LIBC.mlock(ctypes.c_void_p(address), ctypes.c_size_t(256 << 20)) == 0 else None
