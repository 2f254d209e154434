"""Sends harmless signals outward: to the host's number of a process, to every process, to negative numbers."""
# outside: escapes

import os
import signal

from attempt import FACTS, attempt, call, every


def send(pid):
    os.kill(pid, signal.SIGURG)
    return f"signalled {pid}"


@attempt
def main():
    victim = FACTS["victim"]
    found = every([lambda pid=pid: send(pid) for pid in (victim, -victim)])
    if call("tgkill", victim, victim, signal.SIGURG)[0] == 0:
        found.append("tgkill")
    descriptor, _ = call("pidfd_open", victim, 0)
    if descriptor >= 0 and call("pidfd_send_signal", descriptor, signal.SIGURG, 0, 0)[0] == 0:
        found.append("by descriptor")
    return found
