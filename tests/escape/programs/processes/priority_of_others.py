"""Slows down and starves processes of the same user outside: by user, by group, by number. The host's process would show it."""
# outside: never

import os

from attempt import FACTS, attempt, call, every

IOPRIO_WHO_USER, IDLE = 3, 3 << 13


def slow(which, who):
    os.setpriority(which, who, 19)


@attempt
def main():
    victim = FACTS["victim"]
    every(
        [
            lambda: slow(os.PRIO_USER, os.getuid()),
            lambda: slow(os.PRIO_USER, 0),
            lambda: slow(os.PRIO_PROCESS, victim),
            lambda: slow(os.PRIO_PGRP, victim),
        ]
    )
    for uid in (os.getuid(), 0):
        call("ioprio_set", IOPRIO_WHO_USER, uid, IDLE)
    try:
        os.sched_setaffinity(victim, {0})
    except OSError:
        return None
    return "the processors of a process outside"
