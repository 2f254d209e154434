"""Makes system calls with the bit of the x32 kind, which a list of numbers does not hold."""
# outside: unsure

import os
import signal

from attempt import Held, attempt, call


@attempt
def main():
    if os.uname().machine != "x86_64":
        raise Held("another kind of machine")
    found = []
    for number in (0x40000000 | 39, 0x40000000 | 41, 0x40000000 | 272, 0x40000000 | 512, 0x40000000 | 514, 0xC0000000 | 39):
        child = os.fork()
        if child == 0:
            result, problem = call(number, 0x10000000, 0, 0, 0)
            os._exit(0 if result == -1 and problem == 38 else 1)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGSYS:
            found.append(f"{number:x}: status {status}")
    return found
