"""One event as one line, and the chain that links the lines. Pure.

``prev`` is the SHA-256 of the previous line (without its newline), or of nothing for the first one. The log is written by
one process at a time and lies outside everything that the environment can see.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrator.model.codec import canonical_json

GENESIS = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Head:
    """Where a log stands: how many events, and the hash of the last line."""

    events: int
    hash: str


EMPTY = Head(0, GENESIS)


@dataclass(frozen=True, slots=True)
class Damage:
    """The first line that does not fit: ``line`` counts from 1."""

    line: int
    reason: str


def append(head: Head, time_s: float, run: str, kind: str, facts: Mapping[str, object]) -> tuple[bytes, Head]:
    """The next line (with its newline) and the head after it."""
    members = {"v": 1, "seq": head.events + 1, "time": round(time_s, 6), "run": run, "kind": kind, "prev": head.hash, **facts}
    line = canonical_json(members)
    return line + b"\n", Head(head.events + 1, hashlib.sha256(line).hexdigest())


def verify(lines: Iterable[bytes]) -> Head | Damage:
    """Follow the chain through ``lines`` (without newlines)."""
    head = EMPTY
    for number, line in enumerate(lines, start=1):
        problem = _problem(line, head)
        if problem is not None:
            return Damage(number, problem)
        head = Head(head.events + 1, hashlib.sha256(line).hexdigest())
    return head


def _problem(line: bytes, head: Head) -> str | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return "not a JSON document"
    if not isinstance(event, dict):
        return "not a JSON object"
    if event.get("seq") != head.events + 1:
        return f"seq is {event.get('seq')!r}, expected {head.events + 1}"
    return None if event.get("prev") == head.hash else "prev is not the hash of the line before"
