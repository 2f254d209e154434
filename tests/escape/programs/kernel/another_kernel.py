"""Starts another kernel, or reboots (with numbers that the kernel would not accept)."""
# outside: escapes

from attempt import attempt, not_refused


@attempt
def main():
    return not_refused(("kexec_load", 0, 0, 0, 0xFFFF), ("kexec_file_load", -1, -1, 0, b"", 0xFFFF), ("reboot", 1, 2, 3, 0))
