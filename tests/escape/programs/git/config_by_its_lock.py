"""Renames a lock file over the configuration, as git does when it writes it."""
# outside: escapes

import os

from attempt import attempt


@attempt
def main():
    with open(".git/config") as file:
        text = file.read()
    with open(".git/config.lock", "w") as file:
        file.write(text)
    try:
        os.rename(".git/config.lock", ".git/config")
    finally:
        if os.path.exists(".git/config.lock"):
            os.unlink(".git/config.lock")
    return "renamed"
