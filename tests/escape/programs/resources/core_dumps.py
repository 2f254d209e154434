"""Looks whether a crash would leave a dump, or start the program that the machine has for dumps: outside, as root, at a limit of 0 too."""
# outside: escapes

import resource

from attempt import attempt


@attempt
def main():
    found = []
    for wished in (None, (1 << 20, 1 << 20), (0, 1), (0, 0)):
        try:
            if wished:
                resource.setrlimit(resource.RLIMIT_CORE, wished)
        except ValueError:
            pass
        try:
            if wished:
                resource.prlimit(0, resource.RLIMIT_CORE, wished)
        except (OSError, ValueError):
            pass
        now = resource.getrlimit(resource.RLIMIT_CORE)
        found += [f"after {wished}: {now}"] if now != (1, 1) else []
    return found
