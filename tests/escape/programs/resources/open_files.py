"""Opens files until no more are given."""
# outside: unsure

import os

from attempt import FACTS, Held, attempt


@attempt
def main():
    held = []
    try:
        while len(held) < FACTS["open_files"] + 100:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as problem:
        raise Held(f"after {len(held)}: {problem.strerror}") from None
    return f"{len(held)} files are open"
