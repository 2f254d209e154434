"""Looks for values of the host in its own environment."""
# outside: escapes

import os

from attempt import FACTS, attempt


@attempt
def main():
    own = {name: value for name, value in os.environ.items() if not name.startswith("ESCAPE_")}
    return [
        name
        for name, value in own.items()
        if any(word in value or word in name for word in (*FACTS["host_words"], FACTS["home"], FACTS["state"]))
    ]
