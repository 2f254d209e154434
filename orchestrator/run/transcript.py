"""``transcript.jsonl``: what an agent said and did, one ``aienv.event/1`` in each line, with the seconds since its start.

Every line is whole: what has no room any more, on the disk or below the limit, is counted and left out; the end still comes, and says
how many are missing.
"""

import contextlib
import os
from pathlib import Path

from orchestrator.agents.schema import AgentEvent, as_json
from orchestrator.model.agent import Document
from orchestrator.model.codec import canonical_json


def timed(event: AgentEvent, at_s: float) -> Document:
    """An event with its time."""
    return {**as_json(event), "at_s": round(max(0.0, at_s), 3)}


class Transcript:
    """At most ``limit`` bytes, and the end."""

    def __init__(self, path: Path, limit: int) -> None:
        self._name = path.name
        self._room = limit
        self._size = 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._problem: str | None = None
        self.dropped = 0

    def write(self, event: AgentEvent, at_s: float) -> None:
        document = timed(event, at_s)
        if event.kind == "end" and self.dropped:
            document["dropped"] = self.dropped
        line = canonical_json(document) + b"\n"
        if event.kind != "end" and self._size + len(line) > self._room:
            self.dropped += 1
            return
        try:
            view = memoryview(line)
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as problem:
            self.dropped += 1
            self._problem = self._problem or problem.strerror
            with contextlib.suppress(OSError):  # half a line is no line
                os.ftruncate(self._file, self._size)
                os.lseek(self._file, self._size, os.SEEK_SET)
            return
        self._size += len(line)

    def close(self) -> None:
        os.close(self._file)

    @property
    def note(self) -> str | None:
        """What a person should know: None when it has everything."""
        if not self.dropped:
            return None
        return f"{self._name} lacks {self.dropped:,} events ({self._problem or 'limits.output'})"
