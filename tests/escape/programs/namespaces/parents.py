"""Asks for the namespaces above its own, and who owns them."""
# outside: never

import fcntl
import os
import struct

from attempt import attempt

NS_GET_USERNS, NS_GET_PARENT, NS_GET_OWNER_UID = 0xB701, 0xB702, 0xB704


@attempt
def main():
    found = []
    current = os.open("/proc/self/ns/user", os.O_RDONLY)
    for level in range(8):
        try:
            owner = struct.unpack("I", fcntl.ioctl(current, NS_GET_OWNER_UID, b"\0" * 4))[0]
            if owner == 0:
                found.append(f"level {level} belongs to root")
            current = fcntl.ioctl(current, NS_GET_PARENT)
        except OSError:
            break
    for kind in ("mnt", "net", "pid", "ipc", "uts"):
        try:
            descriptor = fcntl.ioctl(os.open(f"/proc/self/ns/{kind}", os.O_RDONLY), NS_GET_USERNS)
            with open("/proc/self/uid_map") as file:
                wide = file.read().split()[2:3] == ["4294967295"]
            found += [f"{kind} belongs to the first user namespace"] if wide else []
            os.close(descriptor)
        except OSError:
            pass
    return found
