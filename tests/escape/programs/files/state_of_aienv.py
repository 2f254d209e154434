"""Looks for aienv's own state: other runs, mirrors, reports."""
# outside: escapes

import os

from attempt import FACTS, attempt


@attempt
def main():
    return [path for path in (FACTS["state"], *(f"{FACTS['state']}/{name}" for name in ("runs", "work", "cache"))) if os.path.lexists(path)]
