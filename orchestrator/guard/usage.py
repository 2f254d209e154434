"""What went through a guard and what was refused: bounded in the log, and counted from it for reports. Pure.

The log is the guard's, but lies in a folder of the user's: a line that is not as expected is left out.
"""

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.model.guard import DockerDenial, DockerUse

MAX_EVENTS = 2000  # of one kind; what comes then is counted
SUMMARY_EVERY = 1000
MAX_ROWS, MAX_SUMMARY_ROWS = 500, 100
MAX_TEXT = 1000
OTHERS = "others"
ALLOWED, DENIED, FULL, LEARNED, SUMMARY = "docker.allow", "docker.deny", "docker.full", "docker.learned", "docker.summary"
CONNECTION = "connections, unjudged"  # mode full

_MARK = b'"kind":"docker.'

Write = Callable[[str, Mapping[str, object]], object]


@dataclass(slots=True)
class Counts:
    """Rows up to a limit; beyond it everything new is one row."""

    allowed: dict[str, int] = field(default_factory=dict)
    denied: dict[tuple[str, str, str], DockerDenial] = field(default_factory=dict)
    learned: dict[str, None] = field(default_factory=dict)
    other: dict[str, int] = field(default_factory=dict)

    def allow(self, request: str, count: int) -> None:
        request = request if request in self.allowed or len(self.allowed) < MAX_ROWS else OTHERS
        self.allowed[request] = self.allowed.get(request, 0) + count

    def deny(self, row: DockerDenial) -> None:
        key = (row.rule, row.field or "", row.reason)
        if key not in self.denied and len(self.denied) >= MAX_ROWS:
            row = DockerDenial(row.rule, OTHERS, None, "further calls", None, None, row.count)
            key = (row.rule, "", row.reason)
        known = self.denied.get(key)
        self.denied[key] = row if known is None else replace(known, count=known.count + row.count)

    def total(self) -> DockerUse:
        return DockerUse(tuple(sorted(self.allowed.items())), tuple(self.denied[key] for key in sorted(self.denied)))

    def __bool__(self) -> bool:
        return bool(self.allowed or self.denied or self.other)


class DockerLog:
    """Stands between a guard and its log: an agent that polls must not fill the disk. Thread-safe.

    ``write`` as the log's own: what it raises comes through, so nothing passes that is not told or counted.
    """

    def __init__(self, log: Write) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._written: dict[str, int] = {}
        self._beyond = Counts()
        self._pending = 0

    def write(self, kind: str, facts: Mapping[str, object]) -> None:
        with self._lock:
            written = self._written.get(kind, 0)
            if written < MAX_EVENTS:
                self._log(kind, facts)
                self._written[kind] = written + 1
                return
            if not _count(self._beyond, kind, facts):
                self._beyond.other[kind] = self._beyond.other.get(kind, 0) + 1
            self._pending += 1
            if self._pending >= SUMMARY_EVERY:
                self._summarise()

    def tell(self) -> None:
        """Write down what was only counted. Raises what the log raises."""
        with self._lock:
            if self._beyond:
                self._summarise()

    def _summarise(self) -> None:
        self._log(SUMMARY, summary(self._beyond))
        self._beyond, self._pending = Counts(), 0


def summary(counts: Counts) -> dict[str, object]:
    """As an event has it: the most frequent first, the others as one row."""
    allowed = sorted(counts.allowed.items(), key=lambda row: -row[1])
    denied = sorted(counts.denied.values(), key=lambda row: -row.count)
    rest = sum(count for _, count in allowed[MAX_SUMMARY_ROWS:])
    hidden = sum(row.count for row in denied[MAX_SUMMARY_ROWS:])
    return {
        "allowed": [[request, count] for request, count in (*allowed[:MAX_SUMMARY_ROWS], *(((OTHERS, rest),) if rest else ()))],
        "denied": [
            *([row.rule, row.request, row.field, row.reason, row.allowed, row.remedy, row.count] for row in denied[:MAX_SUMMARY_ROWS]),
            *([[OTHERS, OTHERS, None, "further calls", None, None, hidden]] if hidden else []),
        ],
        "other": dict(counts.other),
    }


def docker_use(lines: Iterable[bytes]) -> DockerUse:
    """From the lines of ``audit.jsonl``."""
    return counted(lines).total()


def counted(lines: Iterable[bytes]) -> Counts:
    """With the images that a learning run let through."""
    counts = Counts()
    for line in lines:
        if _MARK not in line:
            continue
        try:
            event = json.loads(line)
            _count(counts, str(event["kind"]), event)
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
    return counts


def _count(counts: Counts, kind: str, event: Mapping[str, Any]) -> bool:
    """Whether it is an event that reports count."""
    if kind == ALLOWED:
        counts.allow(str(event["request"])[:MAX_TEXT], 1)
    elif kind == FULL:
        counts.allow(CONNECTION, 1)
    elif kind == DENIED:
        counts.deny(_denial(*(event.get(name) for name in ("rule", "request", "field", "reason", "allowed", "remedy")), count=1))
    elif kind == LEARNED:
        if len(counts.learned) < MAX_ROWS:
            counts.learned[str(event["image"])[:MAX_TEXT]] = None
    elif kind == SUMMARY:
        for request, count in event["allowed"]:
            counts.allow(str(request)[:MAX_TEXT], int(count))
        for *words, count in event["denied"]:
            counts.deny(_denial(*words, count=int(count)))
    else:
        return False
    return True


def _denial(rule: object, request: object, where: object, reason: object, allowed: object, remedy: object, *, count: int) -> DockerDenial:
    return DockerDenial(_text(rule) or "", _text(request) or "", _text(where), _text(reason) or "", _text(allowed), _text(remedy), count)


def _text(value: object) -> str | None:
    return value[:MAX_TEXT] if isinstance(value, str) else None
