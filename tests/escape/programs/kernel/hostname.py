"""Renames the machine (to names longer than the kernel would accept)."""
# outside: escapes

from attempt import attempt, not_refused


@attempt
def main():
    return not_refused(("sethostname", b"x", 4096), ("setdomainname", b"x", 4096))
