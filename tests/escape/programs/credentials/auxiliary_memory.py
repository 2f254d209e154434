"""Searches its own and the others' memory for a value that only the host may have."""
# outside: never

import os

from attempt import FACTS, attempt


def holds(pid, needle):
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            start, end = (int(word, 16) for word in line.split()[0].split("-"))
            if " rw" in line and end - start < 1 << 26:
                try:
                    memory.seek(start)
                    if needle in memory.read(end - start):
                        return True
                except (OSError, ValueError, OverflowError):
                    pass
    return False


@attempt
def main():
    found = []
    # Turned round, so that the needle is not in our own memory; it is put together only in a child's register of names.
    for turned in FACTS["turned_words"]:
        for pid in (name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid() and int(name) != os.getppid()):
            try:
                if holds(pid, turned[::-1].encode()):
                    found.append(f"process {pid}")
            except OSError:
                pass
    return found
