"""Makes files in the folders that make up the system."""
# outside: escapes

import os

from attempt import attempt, takes_files


@attempt
def main():
    places = (
        "/",
        "/usr",
        "/usr/bin",
        "/usr/local/bin",
        "/bin",
        "/lib",
        "/etc",
        "/etc/ld.so.conf.d",
        "/dev",
        "/opt",
        "/boot",
        "/sys",
        "/proc",
        "/var",
        "/var/lib",
        "/srv",
        "/mnt",
        "/home",
        "/workspaces",
    )
    return takes_files(*(path for path in places if os.path.isdir(path)))
