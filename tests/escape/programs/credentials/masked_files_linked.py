"""Gives masked files another name."""
# outside: escapes

import os

from attempt import FACTS, attempt, every


def link(name):
    os.link(name, "hard-mask")
    with open("hard-mask", "rb") as file:
        data = file.read()
    os.unlink("hard-mask")
    return f"{name} {len(data)}"


@attempt
def main():
    return every([lambda name=name: link(name) for name in FACTS["masked"]])
