"""Files of a commit in a folder of ours, for what builds an image of them: read from the mirror, so nobody else can change them.

No checkout: no attribute, filter, hook or configuration applies. A link that leads out of the folder is left out.
"""

import contextlib
import itertools
import os
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from orchestrator.errors import ConfigError
from orchestrator.model.task import SandboxRules
from orchestrator.repos import tree
from orchestrator.repos.contents import TreeEntry, read_blobs, tree_of
from orchestrator.repos.scratch import scratch
from orchestrator.sandbox.masks import masked_paths

MAX_BYTES = 1 << 30
MAX_FILES = 100_000
SHOWN = 5
BATCH_BYTES = 32 << 20  # so much is held in memory
_LINK, _SUBMODULE = "120000", "160000"


@contextlib.contextmanager
def exported(git_dir: Path, commit: str, places: Sequence[str], hidden: SandboxRules) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """A folder with what ``commit`` has at and below ``places`` ("" is all), for as long as the block lasts; and notes for people.

    Files that are ``hidden`` from an agent are not there: an image would show them.

    Raises:
        ConfigError: it is too much. EnvironmentFailed: no folder can be made.
    """
    wanted, notes = _seen(_entries(git_dir, commit, places), hidden)
    with scratch("devcontainer") as made:
        folder = made.resolve()
        yield folder, (*notes, *_write(folder, git_dir, wanted))


def _entries(git_dir: Path, commit: str, places: Sequence[str]) -> tuple[TreeEntry, ...]:
    listed = itertools.chain.from_iterable(tree_of(git_dir, commit, place) for place in (("",) if "" in places else places))
    found = {entry.path: entry for entry in listed if entry.mode != _SUBMODULE}
    size = sum(entry.size or 0 for entry in found.values())
    if size > MAX_BYTES or len(found) > MAX_FILES:
        what = f"{len(found):,} files and {size >> 20:,} MiB"
        raise ConfigError(
            f"what the dev container is built from has {what}; at most {MAX_FILES:,} files and {MAX_BYTES >> 20:,} MiB are taken",
            remedy="choose a smaller build.context in devcontainer.json",
            code="devcontainer",
        )
    return tuple(found[path] for path in sorted(found))


def _seen(entries: Sequence[TreeEntry], hidden: SandboxRules) -> tuple[tuple[TreeEntry, ...], tuple[str, ...]]:
    masked = frozenset(os.fsencode(path) for path in masked_paths((os.fsdecode(entry.path) for entry in entries), hidden))
    if not masked:
        return tuple(entries), ()
    names = ", ".join(repr(os.fsdecode(path)) for path in sorted(masked)[:SHOWN]) + (", ..." if len(masked) > SHOWN else "")
    return tuple(entry for entry in entries if entry.path not in masked), (f"masked files were left out of the build: {names}",)


def _write(folder: Path, git_dir: Path, entries: Iterable[TreeEntry]) -> tuple[str, ...]:
    notes: list[str] = []
    links: list[bytes] = []
    with tree.opened(folder) as root:
        for batch in _batches(entries):
            contents = read_blobs(git_dir, [entry.oid for entry in batch])
            for entry in batch:
                data = contents[entry.oid]
                if entry.mode != _LINK:
                    tree.write_file(root, entry.path, (data,), executable=entry.mode == "100755", mtime_s=0.0)
                elif leads_out(entry.path, data):
                    notes.append(_left_out(entry.path))
                else:
                    tree.write_link(root, entry.path, data)
                    links.append(entry.path)
        for path in links:  # a link over a link may lead where neither does alone
            real = os.path.realpath(os.path.join(os.fsencode(folder), path))
            if not (real + b"/").startswith(os.fsencode(folder) + b"/"):
                tree.remove(root, path)
                notes.append(_left_out(path))
    return tuple(notes)


def _left_out(path: bytes) -> str:
    return f"{os.fsdecode(path)!r} is a link that leads out of the repository: it was left out of the build"


def leads_out(path: bytes, target: bytes) -> bool:
    """Whether a link at ``path`` leads out of the folder that all paths begin in, as far as its own words say. Pure."""
    if target.startswith(b"/") or not target or b"\0" in target:
        return True
    end = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return end == b".." or end.startswith(b"../")


def _batches(entries: Iterable[TreeEntry]) -> Iterator[list[TreeEntry]]:
    batch: list[TreeEntry] = []
    size = 0
    for entry in entries:
        if batch and size + (entry.size or 0) > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry.size or 0
    if batch:
        yield batch
