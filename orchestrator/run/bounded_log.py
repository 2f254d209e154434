"""A log that keeps its beginning and its end: whoever floods it fills no disk.

The beginning goes to the file itself. What comes after goes to two parts beside it in turn, ``NAME.end-N``, the older of which
is dropped when there is need for a third. At the end the parts are put behind the beginning. Output that fits is kept byte by
byte.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from orchestrator.report.text import size

_COPY_BYTES = 1 << 20


class BoundedLog:
    """At most ``limit`` bytes of what is written, and a line that says what was cut."""

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._part_bytes = max(1, limit // 4)
        self._room = max(1, limit - 2 * self._part_bytes)
        self._limit = limit
        self._file = _create(path)
        self._number = 0
        self.dropped = 0

    def write(self, data: bytes) -> None:
        """All of it, before this returns.

        Raises:
            OSError: the disk is full; what was not written is missing.
        """
        view = memoryview(data)
        while view:
            if not self._room:
                self._next_part()
            self._room -= (count := os.write(self._file, view[: self._room]))
            view = view[count:]

    def close(self) -> None:
        """Put the end behind the beginning."""
        os.close(self._file)
        join_parts(self._path, self.dropped)

    @property
    def note(self) -> str | None:
        """What a person should know: None when nothing was cut."""
        if not self.dropped:
            return None
        return f"{self._path.name} has the beginning and the end of the output; {size(self.dropped)} between them were cut (limits.output)"

    def _next_part(self) -> None:
        if self._number > 1:
            oldest = _part(self._path, self._number - 1)
            count = oldest.stat().st_size
            oldest.unlink()
            if not self.dropped:
                self._say(f"[aienv: the output is longer than limits.output ({size(self._limit)}); what follows is its end]")
            self.dropped += count
        os.close(self._file)
        self._number += 1
        self._file, self._room = _create(_part(self._path, self._number)), self._part_bytes

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                os.write(descriptor, b"\n" + text.encode() + b"\n")
            finally:
                os.close(descriptor)


def join_parts(path: Path, dropped: int = 0) -> None:
    """Append the parts that a log still has; what a killed writer left is put together by whoever finishes its run.

    A part is removed when it is copied. Without room for the copy the parts stay as they are.
    """
    parts = list(_parts(path))
    if not parts:
        return
    with contextlib.suppress(OSError):
        target = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if dropped:
                os.write(target, f"[aienv: {size(dropped)} of output were cut here]\n".encode())
            for part in parts:
                _append(target, part)
        finally:
            os.close(target)


def _append(target: int, part: Path) -> None:
    before = os.fstat(target).st_size
    try:
        with part.open("rb") as source:
            while data := source.read(_COPY_BYTES):
                view = memoryview(data)
                while view:
                    view = view[os.write(target, view) :]
    except OSError:
        os.ftruncate(target, before)
        raise
    part.unlink()


def _parts(path: Path) -> Iterator[Path]:
    """In the order in which they were written."""
    prefix = f"{path.name}.end-"
    names = [name for name in os.listdir(path.parent) if name.startswith(prefix) and name[len(prefix) :].isdigit()]
    return (path.parent / name for name in sorted(names, key=lambda name: int(name[len(prefix) :])))


def _part(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.end-{number}")


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
