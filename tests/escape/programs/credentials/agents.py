"""Looks for agents that hold keys: ssh, gpg, password stores."""
# outside: unsure

import glob
import os
import socket

from attempt import attempt, connects, every


@attempt
def main():
    paths = [
        os.environ.get("SSH_AUTH_SOCK", "/nonexistent"),
        *glob.glob("/tmp/ssh-*/agent.*"),
        *glob.glob("/run/user/*/gnupg/*"),
        *glob.glob("/run/user/*/keyring/*"),
        *glob.glob(os.path.expanduser("~/.gnupg/S.*")),
    ]
    return every([lambda path=path: connects(socket.AF_UNIX, path) for path in paths])
