"""Moves the whole workspace away, to put another with the same name in its place."""
# outside: never

import os

from attempt import attempt, every


def move(path, target):
    os.rename(path, target)
    return f"{path} to {target}"


@attempt
def main():
    here = os.getcwd()
    return every(
        [
            lambda path=path, target=target: move(path, target)
            for path, target in (
                (here, f"{here}-moved"),
                (here, "/tmp/moved"),
                (os.path.dirname(here), "/tmp/moved"),
                (f"{here}/.", f"{here}-x"),
            )
        ]
    )
