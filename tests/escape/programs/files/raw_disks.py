"""Opens disks, loop devices, fuse, kvm and tun by the names that they usually have."""
# outside: unsure

import glob
import os

from attempt import attempt


@attempt
def main():
    names = ("vd*", "sd*", "nvme*", "loop*", "dm-*", "mapper/*", "fuse", "kvm", "vhost*", "net/tun", "uinput", "rtc*", "hpet")
    found = []
    for path in (path for name in names for path in glob.glob(f"/dev/{name}")):
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
            found.append(path)
        except OSError:
            pass
    return found
