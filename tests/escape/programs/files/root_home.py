"""Lists root's home folder."""
# outside: escapes

import os

from attempt import attempt


@attempt
def main():
    return os.listdir("/root")
