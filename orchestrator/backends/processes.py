"""Processes of ours, found again after a crash: a pid alone may be somebody else's by then."""

import os
import signal
import time
from dataclasses import dataclass

_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A pid with its start time in clock ticks since boot: the pair is never reused."""

    pid: int
    started: int

    def as_text(self) -> str:
        return f"{self.pid} {self.started}\n"


def identify(pid: int) -> ProcessId | None:
    """The identity of a living process; None when there is none (a zombie counts as gone)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else ProcessId(pid, int(fields[19]))


def parse(text: str) -> ProcessId | None:
    words = text.split()
    return ProcessId(int(words[0]), int(words[1])) if len(words) == 2 and all(word.isdigit() for word in words) else None


def alive(process: ProcessId) -> bool:
    return identify(process.pid) == process


def end(process: ProcessId, deadline_s: float) -> bool:
    """KILL it and wait until it is gone; True when it is. What is gone already is fine."""
    limit = time.monotonic() + deadline_s
    while alive(process):
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return True
        if time.monotonic() > limit:
            return False
        time.sleep(_POLL_S)
    return True
