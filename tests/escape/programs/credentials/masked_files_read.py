"""Reads masked files: by name, by another spelling, through links and /proc."""
# outside: escapes

import os

from attempt import FACTS, SCRATCH, attempt, readable


@attempt
def main():
    here, found = os.getcwd(), []
    for name in FACTS["masked"]:
        spellings = (
            name,
            f"./{name}",
            f"conf/../{name}",
            f"{here}/{name}",
            f"/proc/self/cwd/{name}",
            f"/proc/self/root{here}/{name}",
            f"/proc/1/root{here}/{name}",
            f"/dev/fd/../cwd/{name}",
        )
        found += readable(*spellings)
        os.symlink(f"{here}/{name}", f"{SCRATCH}/link")
        found += readable(f"{SCRATCH}/link")
        os.unlink(f"{SCRATCH}/link")
    return found
