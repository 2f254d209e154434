"""Leaves a process behind that nobody waits for: another session, another group, all signals ignored, death signal removed."""
# outside: never

import os
import signal
import time

from attempt import FACTS, LIBC, attempt


@attempt
def main():
    if os.fork() == 0:
        os.setsid()
        LIBC.prctl(1, 0, 0, 0, 0)
        if os.fork() == 0:
            for number in range(1, 32):
                if number not in (signal.SIGKILL, signal.SIGSTOP):
                    signal.signal(number, signal.SIG_IGN)
            for descriptor in range(3):
                os.close(descriptor)
            os.execvp("sleep", ["sleep", FACTS["survivor"]])
        os._exit(0)
    time.sleep(0.05)
    return
