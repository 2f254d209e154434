"""Swaps to a file, writes accounting to a file, changes quotas."""
# outside: escapes

from attempt import attempt, not_refused


@attempt
def main():
    return not_refused(
        ("swapon", b"/nonexistent", 0),
        ("swapoff", b"/nonexistent"),
        ("acct", b"/nonexistent"),
        ("quotactl", 0x80000100, b"/nonexistent", 0, 0),
        ("quotactl_fd", -1, 0x80000100, 0, 0),
    )
