"""Writes masked files and changes their permissions."""
# outside: escapes

import os

from attempt import FACTS, attempt, every, opened_for_writing


def change(name):
    os.chmod(name, 0o666)
    return name


@attempt
def main():
    return opened_for_writing(*FACTS["masked"]) + every([lambda name=name: change(name) for name in FACTS["masked"]])
