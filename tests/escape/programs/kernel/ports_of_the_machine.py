"""Takes input and output ports of the machine, and a local descriptor table."""
# outside: escapes

from attempt import attempt, not_refused


@attempt
def main():
    return not_refused(("ioperm", 0x378, 3, 1), ("iopl", 3), ("modify_ldt", 0, b"\0" * 16, 16))
