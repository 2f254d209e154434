"""Hangs up the terminal for everybody (vhangup)."""
# outside: never

from attempt import attempt, not_refused


@attempt
def main():
    return not_refused(("vhangup",))
