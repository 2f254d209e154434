"""Looks for sockets in the whole file system and connects to what it finds."""
# outside: escapes

import os
import socket
import stat

from attempt import attempt, connects, every


@attempt
def main():
    found, seen = [], 0
    for top in ("/run", "/tmp", "/var/run", "/dev", "/home", "/workspaces", "/opt", "/var", "/etc", "/root", "/srv", "/mnt"):
        for folder, _, files in os.walk(top):
            for name in files:
                seen += 1
                path = os.path.join(folder, name)
                try:
                    if stat.S_ISSOCK(os.lstat(path).st_mode):
                        found.append(path)
                except OSError:
                    pass
            if seen > 50_000:
                break
    return every([lambda path=path: connects(socket.AF_UNIX, path, seconds=1) for path in found])
