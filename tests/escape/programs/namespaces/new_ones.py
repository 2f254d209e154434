"""Makes new namespaces of every kind with unshare."""
# outside: escapes

import os

from attempt import attempt, call

KINDS = {
    "user": 0x10000000,
    "mount": 0x20000,
    "pid": 0x20000000,
    "network": 0x40000000,
    "ipc": 0x8000000,
    "uts": 0x4000000,
    "control-groups": 0x2000000,
    "time": 0x80,
    "user-and-mount": 0x10020000,
    "user-and-network": 0x50000000,
}


@attempt
def main():
    found = []
    for name, flag in KINDS.items():
        child = os.fork()
        if child == 0:
            os._exit(1 if call("unshare", flag)[0] == 0 else 0)
        if os.waitpid(child, 0)[1]:
            found.append(name)
    return found
