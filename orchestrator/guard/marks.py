"""Images that no label tells of: names that were given to existing ones, and images that were loaded. Written down before they are made.

A line of JSON each in the guard's folder. What is removed is what still means the very image that was written down.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FILE = "images.jsonl"
MAX_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Mark:
    """``name``: canonical; empty: the image has none. ``id``: of the image; empty: it is made, and will bear the session's label."""

    name: str
    id: str


def note(folder: Path, marks: Iterable[Mark]) -> None:
    """Raises OSError: then nothing may be made."""
    text = "".join(json.dumps({"name": mark.name, "id": mark.id}) + "\n" for mark in marks)
    handle = os.open(folder / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(handle, text.encode())
        os.fdatasync(handle)
    finally:
        os.close(handle)


def noted(folder: Path) -> tuple[Mark, ...]:
    """The last first. A line that a killed writer left half is passed over."""
    try:
        with (folder / FILE).open("rb") as file:
            lines = file.read(MAX_BYTES).splitlines()
    except OSError:
        return ()
    found = []
    for line in lines:
        try:
            row = json.loads(line)
            found.append(Mark(str(row["name"]), str(row["id"])))
        except (ValueError, KeyError, TypeError):
            continue
    return tuple(dict.fromkeys(reversed(found)))
