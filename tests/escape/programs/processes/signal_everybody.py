"""Sends a signal to all: the host's process that waits for one would tell."""
# outside: never

import os
import signal

from attempt import attempt


@attempt
def main():
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    os.kill(-1, signal.SIGURG)
    os.kill(-1, 0)
    return
