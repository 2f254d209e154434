"""What of the user's own stands where a result would go.

``git read-tree -u`` takes every ignored file for one that may go: it overwrites them without a word, and replaces a folder or a symlink of
theirs. So the places are looked at here first, step by step and without following a link.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

SUBMODULE = "160000"


@dataclass(frozen=True, slots=True)
class Change:
    """One path whose tree entry differs. A mode is ``000000`` where the path does not exist."""

    path: bytes
    old_mode: str
    new_mode: str


def parse_changes(raw: bytes) -> tuple[Change, ...]:
    """``git diff-tree -r -z --raw --no-renames``."""
    words = raw.split(b"\0")
    return tuple(
        Change(path, *facts.decode("ascii").lstrip(":").split(" ")[:2]) for facts, path in zip(words[0::2], words[1::2], strict=False)
    )


def parse_modes(listing: bytes) -> dict[bytes, str]:
    """``git ls-tree -r -z`` as {path: mode}."""
    records = (record.partition(b"\t") for record in listing.split(b"\0") if record)
    return {path: facts.split(b" ", 1)[0].decode("ascii") for facts, _, path in records}


def first_obstacle(top: Path, changes: Iterable[Change], tracked: Mapping[bytes, str]) -> tuple[bytes, str] | None:
    """(path, why) of something below ``top`` that git does not keep and ``changes`` would destroy or grow into; None: there is nothing.

    ``tracked``: {path: mode} before the change. Files that git does keep are git's own to compare.
    """
    root = os.fsencode(top)
    for change in changes:
        if change.new_mode == "000000":
            continue
        found = _above(root, change.path, tracked) or _at(root, change, tracked)
        if found is not None:
            return found
    return None


def _above(root: bytes, path: bytes, tracked: Mapping[bytes, str]) -> tuple[bytes, str] | None:
    """Every folder that leads to ``path`` is a real one of this repository, is not there yet, or is a tracked file that gives way."""
    steps = path.split(b"/")
    for length in range(1, len(steps)):
        parent = b"/".join(steps[:length])
        status = _status(root, parent)
        if status is None:
            return None
        if not stat.S_ISDIR(status.st_mode):
            return None if parent in tracked and tracked[parent] != SUBMODULE else (parent, "is in the way and not tracked")
        if os.path.lexists(os.path.join(root, parent, b".git")):
            return parent, "is a repository of its own"
    return None


def _at(root: bytes, change: Change, tracked: Mapping[bytes, str]) -> tuple[bytes, str] | None:
    status = _status(root, change.path)
    if status is None or change.old_mode == change.new_mode == SUBMODULE:
        return None
    if stat.S_ISDIR(status.st_mode):
        inside = _untracked_below(root, change.path, tracked)
        return (inside, "is in the way and not tracked") if inside is not None else None
    return None if change.path in tracked else (change.path, "is in the way and not tracked")


def _untracked_below(root: bytes, folder: bytes, tracked: Mapping[bytes, str]) -> bytes | None:
    """The first thing below ``folder``, other than folders, that is not tracked."""
    pending = [folder]
    while pending:
        current = pending.pop()
        with os.scandir(os.path.join(root, current)) as entries:
            for entry in entries:
                path = current + b"/" + entry.name
                if entry.is_dir(follow_symlinks=False):
                    pending.append(path)
                elif path not in tracked:
                    return path
    return None


def _status(root: bytes, path: bytes) -> os.stat_result | None:
    try:
        return os.lstat(os.path.join(root, path))
    except (FileNotFoundError, NotADirectoryError):
        return None
