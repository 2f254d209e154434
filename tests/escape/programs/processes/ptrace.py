"""Traces processes: a child, the parent, the first one, and itself by another."""
# outside: escapes

import os

from attempt import attempt, not_refused

PTRACE_TRACEME, PTRACE_ATTACH, PTRACE_SEIZE = 0, 16, 0x4206


@attempt
def main():
    return not_refused(
        ("ptrace", PTRACE_ATTACH, 1, 0, 0),
        ("ptrace", PTRACE_SEIZE, os.getppid(), 0, 0),
        ("ptrace", PTRACE_ATTACH, 999999, 0, 0),
    )
