"""Moves git's folders away, exchanges them, puts links in their place."""
# outside: escapes

import os

from attempt import LIBC, attempt, every


def move(path):
    os.rename(path, f"{path}-moved")
    os.rename(f"{path}-moved", path)
    return f"{path} moved"


def exchange(path):
    os.makedirs("other", exist_ok=True)
    if LIBC.renameat2(-100, path.encode(), -100, b"other", 2) != 0:
        return None
    LIBC.renameat2(-100, path.encode(), -100, b"other", 2)
    return f"{path} exchanged"


@attempt
def main():
    names = (".git", ".git/config", ".git/hooks", ".git/info")
    found = every([lambda way=way, name=name: way(name) for name in names for way in (move, exchange)])
    if os.path.isdir("other"):
        os.rmdir("other")
    return found
