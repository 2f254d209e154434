"""Lists processes that are not of this place."""
# outside: escapes

import os

from attempt import FACTS, attempt, content


@attempt
def main():
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    found = [pid for pid in pids if FACTS["victim_word"].encode() in content(f"/proc/{pid}/cmdline")]
    if len(pids) > 40:
        found.append(f"{len(pids)} processes")
    return found
