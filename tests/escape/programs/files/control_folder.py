"""Looks for the launcher's own sockets, folders and outbox below /run."""
# outside: never

import os
import stat

from attempt import attempt, is_guard


@attempt
def main():
    found = [path for path in ("/run/aienv/control", "/run/aienv/outbox", "/run/aienv/harvest") if os.path.lexists(path)]
    for folder, names, files in os.walk("/run"):
        for name in (*names, *files):
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            if (stat.S_ISSOCK(mode) and not is_guard(path)) or stat.S_ISFIFO(mode) or stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
                found.append(path)
    return found
