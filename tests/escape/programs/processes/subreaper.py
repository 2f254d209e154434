"""Adopts orphans, to have children that are not its own."""
# outside: never

import os
import time

from attempt import FACTS, LIBC, attempt, content


@attempt
def main():
    LIBC.prctl(36, 1, 0, 0, 0)
    if os.fork() == 0:
        if os.fork() == 0:
            time.sleep(0.05)
        os._exit(0)
    time.sleep(0.1)
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        children = file.read().split()
    return [pid for pid in children if FACTS["victim_word"].encode() in content(f"/proc/{pid}/cmdline")]
