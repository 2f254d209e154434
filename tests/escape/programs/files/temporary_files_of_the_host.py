"""Looks into the host's /tmp, /var/tmp and /dev/shm for files that anybody may read."""
# outside: escapes

from attempt import FACTS, attempt, readable


@attempt
def main():
    return readable(*FACTS["public_files"])
