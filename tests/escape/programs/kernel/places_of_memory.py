"""Moves pages between memory nodes, of others too."""
# outside: escapes

import os

from attempt import attempt, not_refused


@attempt
def main():
    return not_refused(
        ("move_pages", os.getpid(), 0, 0, 0, 0, 0),
        ("mbind", 0, 0, 0, 0, 0, 0),
        ("migrate_pages", os.getpid(), 0, 0, 0),
        ("set_mempolicy", 0, 0, 0),
        ("set_mempolicy_home_node", 0, 0, 0, 0),
    )
