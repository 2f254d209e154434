"""Compares its namespaces with the host's: none may be the same."""
# outside: escapes

import os

from attempt import FACTS, attempt


@attempt
def main():
    return [kind for kind, link in FACTS["namespaces"].items() if os.readlink(f"/proc/self/ns/{kind}") == link]
