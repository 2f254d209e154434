"""Types into a terminal (TIOCSTI, CVE-2017-5226; with high bits, CVE-2019-10063 and -7303)."""
# outside: unsure

import ctypes
import errno
import os

from attempt import attempt, call


@attempt
def main():
    _, slave = os.openpty()
    requests = (0x5412, 0x1_0000_5412, 0xFFFFFFFF_00005412, 0x8000_0000_0000_5412, 0x7FFF_FFFF_0000_5412)
    answers = [call("ioctl", slave, ctypes.c_ulong(request), ctypes.c_char_p(b"x")) for request in requests]
    return [f"{request:x}: {answer}" for request, answer in zip(requests, answers) if answer != (-1, errno.EPERM)]
