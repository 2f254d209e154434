"""Uses calls that nobody needs any more."""
# outside: unsure

from attempt import attempt, not_refused


@attempt
def main():
    return not_refused(("uselib", b"/nonexistent"), ("nfsservctl", 0, 0, 0), ("lookup_dcookie", 0, 0, 0))
