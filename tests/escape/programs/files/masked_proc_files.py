"""Reads the lists of keys and timers, which show what other users and containers do."""
# outside: unsure

from attempt import attempt, readable


@attempt
def main():
    return readable("/proc/keys", "/proc/timer_list", "/proc/1/../keys", "/proc/self/root/proc/keys", "/proc/self/../timer_list")
