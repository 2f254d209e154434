"""Looks for the home folder of the user who started the run, by its path."""
# outside: escapes

import os

from attempt import FACTS, attempt


@attempt
def main():
    return [path for path in (FACTS["home"], *FACTS["canaries"]) if os.path.lexists(path)]
