"""Makes hard links in the workspace to files outside of it, which the host would see as the agent's own."""
# outside: unsure

import os

from attempt import attempt, every


def link(source):
    os.link(source, "hard-link")
    os.unlink("hard-link")
    return source


@attempt
def main():
    sources = ("/etc/passwd", "/etc/hosts", "/usr/bin/env", "/bin/sh", "/proc/self/exe", "/etc/ld.so.cache")
    return every([lambda source=source: link(source) for source in sources])
