"""Gives a program capabilities by an extended attribute."""
# outside: escapes

import os
import shutil
import struct

from attempt import attempt


@attempt
def main():
    shutil.copy(shutil.which("id"), "with-capabilities")
    try:
        os.setxattr("with-capabilities", "security.capability", struct.pack("<IIIII", 0x02000001, 0xFFFFFFFF, 0, 0xFF, 0))
    finally:
        os.unlink("with-capabilities")
    return "the attribute was taken"
