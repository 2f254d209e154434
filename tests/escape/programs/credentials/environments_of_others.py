"""Looks for values of the host in the environment and the command line of every process it can see."""
# outside: escapes

import os

from attempt import FACTS, attempt, content


@attempt
def main():
    found = []
    for pid in (name for name in os.listdir("/proc") if name.isdigit()):
        text = content(f"/proc/{pid}/environ", 1 << 20) + content(f"/proc/{pid}/cmdline", 1 << 20)
        values = b"\0".join(word for word in text.split(b"\0") if not word.startswith(b"ESCAPE_"))
        found += [f"{pid}: {word}" for word in FACTS["host_words"] if word.encode() in values]
    return found
