"""What went out and what was refused: one event each up to a bound, and counts of everything.

A program inside decides how many requests there are, to how many names, and how long these are; none of that may fill the user's disk
or hide what else it did. So events and rows are bounded, and what is beyond is counted.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.model.network import Denial, HostUse, NetworkUse, Phase

MAX_EVENTS = 5000  # of kind net, and as many of kind cred
MAX_ROWS = 2000
MAX_SUMMARY_ROWS = 400
SUMMARY_EVERY = 20000  # events beyond the bound; a killed broker loses no more counts than these
OTHERS = "(others)"  # in place of hosts beyond the bound
_MAX_PATH, _MAX_TEXT = 500, 300

Write = Callable[[str, dict[str, object]], None]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request or tunnel. ``bytes_out`` counts towards the host. ``path`` without query."""

    host: str
    port: int
    scheme: str
    rule: str
    method: str | None = None
    path: str | None = None
    sni: str | None = None
    address: str | None = None
    status: int | None = None
    bytes_out: int = 0
    bytes_in: int = 0
    seconds: float = 0.0
    reason: str | None = None
    flag: str | None = None
    yaml: str | None = None


class Counts:
    """Rows for people: who was reached, who was refused, which credential was used."""

    def __init__(self) -> None:
        self.allowed: dict[tuple[str, int], tuple[int, int, int]] = {}
        self.denied: dict[tuple[str, int, str], Denial] = {}
        self.credentials: dict[tuple[str, str], int] = {}

    def __bool__(self) -> bool:
        return bool(self.allowed or self.denied or self.credentials)

    def allow(self, host: str, port: int, requests: int, bytes_out: int, bytes_in: int) -> None:
        key = (host, port)
        if key not in self.allowed and len(self.allowed) >= MAX_ROWS:
            key = (OTHERS, 0)
        before = self.allowed.get(key, (0, 0, 0))
        self.allowed[key] = (before[0] + requests, before[1] + bytes_out, before[2] + bytes_in)

    def deny(self, row: Denial) -> None:
        key = (row.host, row.port, row.rule)
        if key not in self.denied and len(self.denied) >= MAX_ROWS:
            key, row = (OTHERS, 0, row.rule), Denial(OTHERS, 0, row.rule, "further hosts", row.count, None, None)
        known = self.denied.get(key)
        if known is None:
            self.denied[key] = row
        else:
            self.denied[key] = Denial(
                known.host, known.port, known.rule, known.reason, known.count + row.count, known.flag, known.yaml
            )

    def use(self, name: str, host: str, count: int) -> None:
        key = (name, host)
        if key not in self.credentials and len(self.credentials) >= MAX_ROWS:
            key = (name, OTHERS)
        self.credentials[key] = self.credentials.get(key, 0) + count

    def total(self) -> NetworkUse:
        return NetworkUse(
            tuple(HostUse(*key, *self.allowed[key]) for key in sorted(self.allowed)),
            tuple(self.denied[key] for key in sorted(self.denied)),
            tuple((*key, self.credentials[key]) for key in sorted(self.credentials)),
        )


class Usage:
    """Written to from the loop's thread, read from others. ``write``: one event to the log."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._phase: Phase | None = None
        self._total = Counts()
        self._beyond = Counts()  # what no event tells
        self._pending = 0
        self._written = {"net": 0, "cred": 0}
        self._lost = 0  # events that the log did not take

    def begin(self, phase: Phase) -> None:
        with self._lock:
            self._phase = phase

    def end_phase(self) -> None:
        """Tell in one event what the events do not."""
        with self._lock:
            if self._phase is not None:
                self._summarise(last=True)
            self._phase = None

    def told(self) -> bool:
        """Whether the log takes events: where it does not, as on a full disk, nothing may go out. What it lost is counted in one later."""
        with self._lock:
            if self._lost:
                try:
                    self._write("net.lost", {"phase": self._phase, "events": self._lost})
                except OSError:
                    return False
                self._lost = 0
            return True

    def allowed(self, attempt: Attempt) -> None:
        with self._lock:
            self._total.allow(attempt.host, attempt.port, 1, attempt.bytes_out, attempt.bytes_in)
            if self._fits("net"):
                self._tell("net", self._facts("allow", attempt))
            else:
                self._beyond.allow(attempt.host, attempt.port, 1, attempt.bytes_out, attempt.bytes_in)

    def denied(self, attempt: Attempt) -> None:
        host, reason = attempt.host[:_MAX_TEXT], (attempt.reason or "")[:_MAX_TEXT]
        row = Denial(host, attempt.port, attempt.rule, reason, 1, attempt.flag, attempt.yaml)
        with self._lock:
            self._total.deny(row)
            if self._fits("net"):
                self._tell("net", self._facts("deny", attempt))
            else:
                self._beyond.deny(row)

    def credential(self, name: str, host: str, outcome: str) -> None:
        """``outcome``: used or refused."""
        with self._lock:
            if outcome == "used":
                self._total.use(name, host, 1)
            if self._fits("cred"):
                self._tell("cred", {"phase": self._phase, "name": name, "host": host[:_MAX_TEXT], "outcome": outcome})
            elif outcome == "used":
                self._beyond.use(name, host, 1)

    def total(self) -> NetworkUse:
        with self._lock:
            return self._total.total()

    def _tell(self, kind: str, facts: dict[str, object]) -> None:
        try:
            self._write(kind, facts)
        except OSError:
            self._lost += 1

    def _fits(self, kind: str) -> bool:
        if self._written[kind] < MAX_EVENTS:
            self._written[kind] += 1
            return True
        self._pending += 1
        if self._pending >= SUMMARY_EVERY:
            self._summarise(last=False)
        return False

    def _summarise(self, last: bool) -> None:
        if not last and not self._beyond:
            return
        beyond, self._beyond, self._pending = self._beyond.total(), Counts(), 0
        self._tell("net.summary", {"phase": self._phase, "events": self._written["net"], "beyond": rows(beyond)})

    def _facts(self, decision: str, attempt: Attempt) -> dict[str, object]:
        facts = {
            "phase": self._phase, "decision": decision, "rule": attempt.rule, "host": attempt.host[:_MAX_TEXT], "port": attempt.port,
            "scheme": attempt.scheme, "address": attempt.address, "sni": _cut(attempt.sni, _MAX_TEXT), "method": attempt.method,
            "path": _cut(attempt.path, _MAX_PATH), "status": attempt.status, "out": attempt.bytes_out, "in": attempt.bytes_in,
            "seconds": round(attempt.seconds, 4), "reason": _cut(attempt.reason, _MAX_TEXT), "flag": attempt.flag, "yaml": attempt.yaml,
        }  # fmt: skip
        return {name: value for name, value in facts.items() if value is not None}


def rows(use: NetworkUse) -> dict[str, object]:
    """As an event has them: the busiest first, the others as one row."""
    allowed = sorted(use.allowed, key=lambda row: -row.requests)
    denied = sorted(use.denied, key=lambda row: -row.count)
    shown, rest = allowed[:MAX_SUMMARY_ROWS], allowed[MAX_SUMMARY_ROWS:]
    if rest:
        sums = (sum(row.requests for row in rest), sum(row.bytes_out for row in rest), sum(row.bytes_in for row in rest))
        shown.append(HostUse(OTHERS, 0, *sums))
    told, hidden = denied[:MAX_SUMMARY_ROWS], denied[MAX_SUMMARY_ROWS:]
    if hidden:
        told.append(Denial(OTHERS, 0, "not-allowed", "further hosts", sum(row.count for row in hidden), None, None))
    return {
        "allowed": [[row.host, row.port, row.requests, row.bytes_out, row.bytes_in] for row in shown],
        "denied": [[row.host, row.port, row.rule, row.reason, row.count, row.flag, row.yaml] for row in told],
        "credentials": [list(row) for row in use.credentials[:MAX_SUMMARY_ROWS]],
    }


def _cut(text: str | None, length: int) -> str | None:
    return text if text is None or len(text) <= length else text[: length - 3] + "..."
