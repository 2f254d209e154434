"""Removes masked files, to see what lies below."""
# outside: escapes

import os

from attempt import FACTS, attempt, every


def remove(name):
    os.unlink(name)
    return name


@attempt
def main():
    return every([lambda name=name: remove(name) for name in FACTS["masked"]])
