"""Reads the host's password hashes and sudo rules."""
# outside: escapes

from attempt import attempt, readable


@attempt
def main():
    return readable("/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/sudoers")
