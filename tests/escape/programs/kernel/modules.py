"""Loads and removes modules of the kernel."""
# outside: unsure

from attempt import attempt, not_refused


@attempt
def main():
    return not_refused(("init_module", 0, 0, 0), ("finit_module", -1, b"", 0), ("delete_module", b"no-such-module", 0))
