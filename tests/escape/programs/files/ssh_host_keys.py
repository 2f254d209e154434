"""Reads keys of the host's ssh server."""
# outside: unsure

import glob

from attempt import attempt, readable


@attempt
def main():
    return readable(*glob.glob("/etc/ssh/ssh_host_*"))
