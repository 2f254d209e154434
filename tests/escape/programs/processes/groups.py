"""Takes supplementary groups: root's, the engine's."""
# outside: escapes

import os

from attempt import attempt


@attempt
def main():
    os.setgroups([0, os.getgid()])
    return f"groups {os.getgroups()}"
