"""Writes attributes that overlay file systems and security modules believe."""
# outside: escapes

import os

from attempt import attempt, every


def write(name):
    os.setxattr("attributes", name, b"y")
    return name


@attempt
def main():
    with open("attributes", "w"):
        pass
    found = every([lambda name=name: write(name) for name in ("trusted.overlay.opaque", "trusted.x", "security.ima", "security.evm")])
    os.unlink("attributes")
    return found
