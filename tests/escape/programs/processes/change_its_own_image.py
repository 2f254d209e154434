"""Changes what /proc shows of it: the program's link, the memory map."""
# outside: unsure

import os

from attempt import attempt, call


@attempt
def main():
    descriptor = os.open("/usr/bin/env", os.O_RDONLY)
    return ["the program's link"] if call("prctl", 35, 13, descriptor, 0, 0)[0] == 0 else []
