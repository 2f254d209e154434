"""Lifts the limit that forbids further user namespaces."""
# outside: unsure

import glob

from attempt import attempt, opened_for_writing


@attempt
def main():
    return opened_for_writing(*glob.glob("/proc/sys/user/*"), "/proc/sys/kernel/unprivileged_userns_clone")
