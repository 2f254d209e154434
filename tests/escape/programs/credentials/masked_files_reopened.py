"""Opens masked files without reading (O_PATH) and opens them again through the descriptor."""
# outside: escapes

import os

from attempt import FACTS, attempt, readable


@attempt
def main():
    descriptors = [os.open(name, os.O_PATH | os.O_NOFOLLOW) for name in FACTS["masked"]]
    return readable(*(f"/proc/self/fd/{descriptor}" for descriptor in descriptors))
