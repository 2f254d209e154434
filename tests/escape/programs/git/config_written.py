"""Writes what makes git run programs: configuration, hooks, attributes."""
# outside: escapes

import os

from attempt import attempt, every, opened_for_writing


def create(path):
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o755))
    os.unlink(path)
    return path


@attempt
def main():
    found = opened_for_writing(".git/config", ".git/info/exclude", ".git/info/attributes")
    new = (".git/hooks/post-commit", ".git/hooks/reference-transaction", ".git/info/attributes", ".git/info/grafts", ".git/hooks/x")
    return found + every([lambda path=path: create(path) for path in new])
