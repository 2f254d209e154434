"""Reads the mount table: what is writable, what takes set-user-id programs, what takes device nodes."""
# outside: escapes

import os

from attempt import attempt

WRITABLE = ("/tmp", "/run", "/dev/shm", "/dev/pts", "/proc", "/home/agent")


@attempt
def main():
    workspace, found = os.getcwd(), []
    with open("/proc/self/mountinfo") as table:
        rows = [line.split() for line in table]
    for row in rows:
        point, options = row[4].encode().decode("unicode_escape"), row[5].split(",")
        inside = point == workspace or point.startswith((f"{workspace}/", "/dev/"))
        if "rw" in options and not inside and point not in WRITABLE:
            found.append(f"{point} can be written")
        if "nosuid" not in options:
            found.append(f"{point} takes set-user-id programs")
        if "nodev" not in options and not point.startswith("/dev/"):
            found.append(f"{point} takes devices")
    return found
