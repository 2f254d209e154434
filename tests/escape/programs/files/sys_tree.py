"""Opens files below /sys for writing: uevent_helper, power, modules' parameters."""
# outside: escapes

import os

from attempt import attempt, opened_for_writing


@attempt
def main():
    paths = ["/sys/kernel/uevent_helper", "/sys/power/state", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/kernel/slab/x"]
    for top in ("/sys/kernel", "/sys/module", "/sys/class/net", "/sys/block"):
        paths += [os.path.join(folder, name) for folder, _, files in os.walk(top) for name in files][:2000]
    return opened_for_writing(*paths)[:10]
