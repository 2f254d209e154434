"""Uncommitted work as a value: what differs, described by digests. The bytes stay where they are until ``carry.apply`` takes them."""

import hashlib
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from orchestrator.model.codec import digest
from orchestrator.model.plan import ChangesPlan
from orchestrator.repos import tree


@dataclass(frozen=True, slots=True)
class Staged:
    """One path whose index entry differs from HEAD. ``mode`` is ``000000`` for a removal."""

    path: bytes
    mode: str
    oid: str


@dataclass(frozen=True, slots=True)
class Carried:
    """What the work tree has at one path. ``content`` is the SHA-256 of a file or of a symlink's target, empty for ``gone``."""

    path: bytes
    kind: Literal["file", "executable", "symlink", "gone"]
    content: str
    size: int


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """Everything uncommitted in one checkout, on top of ``base``. ``intended``: paths that were added with ``git add -N``."""

    root: Path
    git_dir: Path
    base: str | None
    staged: tuple[Staged, ...]
    intended: tuple[bytes, ...]
    files: tuple[Carried, ...]
    warnings: tuple[str, ...]

    @property
    def empty(self) -> bool:
        return not (self.staged or self.intended or self.files)

    def plan(self) -> ChangesPlan:
        """What a ``Plan`` records: equal for equal content, whatever the times and owners of files are."""
        described = {
            "base": self.base,
            "staged": [[shown(entry.path), entry.mode, entry.oid] for entry in self.staged],
            "intended": [shown(path) for path in self.intended],
            "files": [[shown(entry.path), entry.kind, entry.content] for entry in self.files],
        }
        paths = {entry.path for entry in self.staged} | {entry.path for entry in self.files} | set(self.intended)
        return ChangesPlan(digest(described), len(paths))


def to_document(changes: ChangeSet) -> dict[str, Any]:
    """``changes`` for another process of ours, as JSON."""
    return {
        "root": str(changes.root),
        "git_dir": str(changes.git_dir),
        "base": changes.base,
        "staged": [[shown(entry.path), entry.mode, entry.oid] for entry in changes.staged],
        "intended": [shown(path) for path in changes.intended],
        "files": [[shown(entry.path), entry.kind, entry.content, entry.size] for entry in changes.files],
    }


def from_document(document: Mapping[str, Any]) -> ChangeSet:
    """The opposite; warnings have been given."""

    def path(text: str) -> bytes:
        return text.encode("utf-8", "surrogateescape")

    return ChangeSet(
        Path(document["root"]),
        Path(document["git_dir"]),
        document["base"],
        tuple(Staged(path(name), mode, oid) for name, mode, oid in document["staged"]),
        tuple(path(name) for name in document["intended"]),
        tuple(Carried(path(name), kind, content, size) for name, kind, content, size in document["files"]),
        (),
    )


def shown(path: bytes) -> str:
    """``path`` as text; bytes that are not UTF-8 become surrogates."""
    return path.decode("utf-8", "surrogateescape")


def describe(root: int, path: bytes) -> Carried | None:
    """What is at ``path`` now; None for what git cannot hold (a pipe, a socket)."""
    status = tree.status_of(root, path)
    if status is None or stat.S_ISDIR(status.st_mode):
        return Carried(path, "gone", "", 0)
    if stat.S_ISLNK(status.st_mode):
        target = tree.read_link(root, path)
        return Carried(path, "symlink", hashlib.sha256(target).hexdigest(), len(target))
    if not stat.S_ISREG(status.st_mode):
        return None
    seen, size = hashlib.sha256(), 0
    for chunk in tree.read_chunks(root, path):
        seen.update(chunk)
        size += len(chunk)
    return Carried(path, "executable" if status.st_mode & 0o100 else "file", seen.hexdigest(), size)
