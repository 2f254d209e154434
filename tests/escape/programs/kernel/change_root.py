"""Changes its root folder, the first step of the oldest way out."""
# outside: escapes

from attempt import attempt, not_refused


@attempt
def main():
    return not_refused(("chroot", b"/tmp"))
