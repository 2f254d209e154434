"""The journal: what is about to be done is on disk before it is done.

One JSON line per entry. ``begin`` entries are synced: what they announce may outlive us. ``end`` entries are not: whoever
reads a begin without an end looks at what exists.
"""

import errno
import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from orchestrator.run.steps import Step


@dataclass(frozen=True, slots=True)
class JournalState:
    """What a journal says: the steps that began, those that ended, and the facts of each (last entry wins)."""

    begun: frozenset[Step]
    ended: frozenset[Step]
    facts: Mapping[Step, Mapping[str, Any]]
    closed: bool


class Journal:
    """Appends to one run's ``journal.jsonl``. Thread-safe: container and clone are made side by side."""

    def __init__(self, path: Path, reserve: Path | None = None) -> None:
        self._reserve = reserve  # removed when the disk is full
        self._lock = threading.Lock()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def begin(self, step: Step, **facts: object) -> None:
        self._write({"step": step.value, "state": "begin", **facts})
        os.fdatasync(self._file)

    def end(self, step: Step, **facts: object) -> None:
        self._write({"step": step.value, "state": "end", **facts})

    def close(self) -> None:
        """The run is over and nothing of it is left: nobody needs to look again."""
        self._write({"state": "closed"})
        os.fdatasync(self._file)
        os.close(self._file)

    def _write(self, entry: dict[str, object]) -> None:
        line = json.dumps({"time": round(time.time(), 6), **entry}, sort_keys=True) + "\n"
        with self._lock:
            try:
                os.write(self._file, line.encode())
            except OSError as problem:
                if problem.errno != errno.ENOSPC or self._reserve is None:
                    raise
                self._reserve.unlink(missing_ok=True)
                # A part of the line may be there already: a new line makes readers skip it.
                os.write(self._file, b"\n" + line.encode())


def read_journal(path: Path) -> JournalState:
    """The state that the entries add up to. A half-written last line counts as not written."""
    begun: set[Step] = set()
    ended: set[Step] = set()
    facts: dict[Step, Mapping[str, Any]] = {}
    closed = False
    for line in path.read_bytes().splitlines() if path.exists() else ():
        entry = _entry(line)
        if entry.get("state") == "closed":
            closed = True
            continue
        if entry.get("state") not in ("begin", "end") or entry.get("step") not in tuple(Step):
            continue
        step = Step(entry["step"])
        (begun if entry["state"] == "begin" else ended).add(step)
        facts[step] = MappingProxyType({**facts.get(step, {}), **entry})
    return JournalState(frozenset(begun), frozenset(ended), MappingProxyType(facts), closed)


def _entry(line: bytes) -> dict[str, Any]:
    """One line's members; none for a line that is no JSON object."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return entry if isinstance(entry, dict) else {}
