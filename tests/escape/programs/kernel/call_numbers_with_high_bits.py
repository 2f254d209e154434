"""Makes refused calls with high bits in the number: the kernel takes the low 32 bits or none."""
# outside: never

import errno
import os

from attempt import Held, attempt, call


@attempt
def main():
    if os.uname().machine != "x86_64":
        raise Held("another kind of machine")
    found = []
    for number, arguments in (
        (165, (b"none", b"/tmp", b"tmpfs", 0, 0)),
        (272, (0x10000000,)),
        (250, (0, -3, 0, 0, 0)),
        (101, (16, 999999, 0, 0)),
    ):
        child = os.fork()
        if child == 0:
            result, problem = call(number | 1 << 32, *arguments)
            os._exit(0 if result == -1 and problem in (errno.EPERM, errno.ENOSYS) else 1)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) and status:
            found.append(number)
    return found
