"""Watches and decides about everybody's file accesses (fanotify)."""
# outside: escapes

from attempt import attempt, not_refused


@attempt
def main():
    return not_refused(("fanotify_init", 0, 0), ("fanotify_init", 0x200 | 0x8, 0), ("fanotify_init", 4, 0))
