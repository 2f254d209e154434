"""Adds keys, asks for keys, joins and reads keyrings: they are not part of any namespace."""
# outside: escapes

from attempt import attempt, not_refused


@attempt
def main():
    return not_refused(
        ("keyctl", 0, -3, 0, 0, 0),
        ("keyctl", 0, -4, 1, 0, 0),
        ("keyctl", 1, b"another", 0, 0, 0),
        ("keyctl", 11, -4, 0, 0, 0),
        ("add_key", b"user", b"aienv-escape", b"x", 1, -2),
        ("request_key", b"user", b"aienv-escape", b"", -2),
    )
