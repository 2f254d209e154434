"""Kills the first process of this place: everything would end, or the parent's place would be reached."""
# outside: never

import os
import signal
import time

from attempt import attempt


@attempt
def main():
    for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGHUP):
        try:
            os.kill(1, number)
        except OSError:
            pass
    time.sleep(0.1)
    os.kill(1, 0)
    return
