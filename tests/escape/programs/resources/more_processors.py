"""Takes more processors than it was given, and counts the time that it really got on them."""
# outside: unsure

import os
import time

from attempt import FACTS, attempt

SPAN_S = 0.4


@attempt
def main():
    os.sched_setaffinity(0, range(1024))
    began, children = time.monotonic(), []
    for _ in range(FACTS["cpus"] + 2):
        child = os.fork()
        if child == 0:
            while time.monotonic() < began + SPAN_S:
                pass
            os._exit(0)
        children.append(child)
    used = 0.0
    for child in children:
        usage = os.wait4(child, 0)[2]
        used += usage.ru_utime + usage.ru_stime
    got = used / (time.monotonic() - began)
    return f"{got:.1f} processors instead of {FACTS['cpus']}" if got > FACTS["cpus"] + 0.5 else None
