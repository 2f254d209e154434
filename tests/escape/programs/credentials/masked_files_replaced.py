"""Renames masked files away, and other files over them, and exchanges the two."""
# outside: escapes

import os

from attempt import FACTS, LIBC, attempt, every


def away(name):
    os.rename(name, "renamed-mask")
    return f"{name} away"


def over(name):
    with open("replacement", "w"):
        pass
    os.rename("replacement", name)
    return f"{name} over"


def exchange(name):
    with open("replacement", "w"):
        pass
    return f"{name} exchanged" if LIBC.renameat2(-100, name.encode(), -100, b"replacement", 2) == 0 else None


@attempt
def main():
    found = every([lambda way=way, name=name: way(name) for name in FACTS["masked"] for way in (exchange, over, away)])
    if os.path.exists("replacement"):
        os.unlink("replacement")
    return found
