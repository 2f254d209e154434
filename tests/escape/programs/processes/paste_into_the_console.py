"""Pastes into a console (TIOCLINUX), whatever high bits the request carries."""
# outside: escapes

import ctypes
import errno
import os

from attempt import attempt, call


@attempt
def main():
    _, slave = os.openpty()
    requests = (0x541C, 0x1_0000_541C, 0xFFFFFFFF_0000541C)
    answers = [call("ioctl", slave, ctypes.c_ulong(request), ctypes.c_char_p(b"\x03\x00")) for request in requests]
    return [f"{request:x}: {answer}" for request, answer in zip(requests, answers) if answer != (-1, errno.EPERM)]
