"""Makes a file that nobody can remove, so that the workspace would stay behind."""
# outside: unsure

import fcntl
import os
import struct

from attempt import attempt


@attempt
def main():
    with open("immutable", "w") as file:
        try:
            for flags in (0x10, 0x20):
                fcntl.ioctl(file, 0x40086602, struct.pack("l", flags))
                fcntl.ioctl(file, 0x40086602, struct.pack("l", 0))
        finally:
            os.unlink("immutable")
    return "immutable"
