"""Looks for sockets in the whole file system and connects to what it finds."""
# outside: escapes

import os
import socket
import stat

from attempt import attempt, connects, every, is_guard

DEPTH = 4


@attempt
def main():
    found = []
    for top in ("/run", "/tmp", "/var/run", "/dev", "/home", "/workspaces", "/opt", "/var", "/etc", "/root", "/srv", "/mnt"):
        for folder, names, files in os.walk(top):
            if folder.count("/") > DEPTH:
                names.clear()
            for name in files:
                path = os.path.join(folder, name)
                try:
                    if stat.S_ISSOCK(os.lstat(path).st_mode) and not is_guard(path):
                        found.append(path)
                except OSError:
                    pass
    return every([lambda path=path: connects(socket.AF_UNIX, path, seconds=1) for path in found])
