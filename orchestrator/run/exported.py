"""Files of a commit in a folder of ours, for what builds an image of them: read from the mirror, so nobody else can change them.

No checkout: no attribute, filter, hook or configuration applies. A link that leads out of the folder is left out.
"""

import contextlib
import os
import posixpath
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from orchestrator.errors import ConfigError, EnvironmentFailed
from orchestrator.model.task import SandboxRules
from orchestrator.repos import tree
from orchestrator.repos.contents import TreeEntry, copy_blob, entries_of, read_blobs
from orchestrator.repos.scratch import scratch
from orchestrator.sandbox.masks import masked_paths

MAX_BYTES = 1 << 30
MAX_FILES = 100_000
MAX_DEPTH = 200
MAX_NAME, MAX_PATH, MAX_TARGET = 255, 3500, 4095  # of file systems; of paths, with room for the folder of ours; of links
MAX_LINKS_BYTES = 16 << 20
MAX_FOLLOWED = 40  # as the kernel has it
MAX_STEPS = 4_000_000  # some seconds
SHOWN, SHOWN_NAME = 5, 80
BATCH_BYTES = 32 << 20  # so much is held in memory
_LINK, _SUBMODULE = "120000", "160000"


@contextlib.contextmanager
def exported(git_dir: Path, commit: str, places: Sequence[str], hidden: SandboxRules) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """A folder with what ``commit`` has at and below ``places`` ("" is all), for as long as the block lasts; and notes for people.

    Files that are ``hidden`` from an agent are not there: an image would show them.

    Raises:
        ConfigError: it is too much, or nothing that a folder can hold. EnvironmentFailed: no folder can be made.
    """
    wanted, notes = _seen(_entries(git_dir, commit, places), hidden)
    with scratch("devcontainer") as made:
        folder = made.resolve()
        yield folder, (*notes, *_write(folder, git_dir, wanted))


def _entries(git_dir: Path, commit: str, places: Sequence[str]) -> tuple[TreeEntry, ...]:
    found: dict[bytes, TreeEntry] = {}
    size = 0
    for place in ("",) if "" in places else places:
        with contextlib.closing(entries_of(git_dir, commit, place)) as entries:
            for entry in entries:
                if entry.mode == _SUBMODULE or entry.path in found:
                    continue
                if problem := unwritable(entry):
                    raise _refused(problem)
                found[entry.path] = entry
                size += entry.size or 0
                if size > MAX_BYTES or len(found) > MAX_FILES:
                    raise ConfigError(
                        f"what the dev container is built from has more than {MAX_FILES:,} files or {MAX_BYTES >> 20:,} MiB",
                        remedy="choose a smaller build.context in devcontainer.json",
                        code="devcontainer",
                    )
    for path in found:
        if (above := next((one for one in _above(path) if one in found), None)) is not None:
            raise _refused(f"has both a file and a folder {os.fsdecode(above)[:SHOWN_NAME]!r}")
    if sum(entry.size or 0 for entry in found.values() if entry.mode == _LINK) > MAX_LINKS_BYTES:
        raise _refused(f"has links of more than {MAX_LINKS_BYTES >> 20} MiB")
    return tuple(found[path] for path in sorted(found))


def unwritable(entry: TreeEntry) -> str | None:
    """Why no folder of this machine could hold it. Pure."""
    steps = entry.path.split(b"/")
    shown = repr(os.fsdecode(entry.path[:SHOWN_NAME]))
    if len(steps) > MAX_DEPTH:
        return f"has folders more than {MAX_DEPTH} deep: {shown}..."
    if len(entry.path) > MAX_PATH or max(map(len, steps)) > MAX_NAME:
        return f"has a name of more than {MAX_NAME} bytes, or a path of more than {MAX_PATH}: {shown}..."
    if entry.mode == _LINK and (entry.size or 0) > MAX_TARGET:
        return f"has a link to more than {MAX_TARGET} bytes: {shown}"
    return None


def _refused(problem: str) -> ConfigError:
    return ConfigError(
        f"what the dev container is built from {problem}", remedy="choose a smaller build.context in devcontainer.json", code="devcontainer"
    )


def _above(path: bytes) -> Iterator[bytes]:
    at = path.find(b"/")
    while at >= 0:
        yield path[:at]
        at = path.find(b"/", at + 1)


def _seen(entries: Sequence[TreeEntry], hidden: SandboxRules) -> tuple[tuple[TreeEntry, ...], tuple[str, ...]]:
    masked = frozenset(os.fsencode(path) for path in masked_paths((os.fsdecode(entry.path) for entry in entries), hidden))
    if not masked:
        return tuple(entries), ()
    names = ", ".join(repr(os.fsdecode(path)) for path in sorted(masked)[:SHOWN]) + (", ..." if len(masked) > SHOWN else "")
    return tuple(entry for entry in entries if entry.path not in masked), (f"masked files were left out of the build: {names}",)


def _write(folder: Path, git_dir: Path, entries: Iterable[TreeEntry]) -> tuple[str, ...]:
    links: dict[bytes, bytes] = {}
    try:
        with tree.opened(folder) as root:
            for batch in _batches(entries):
                if len(batch) == 1 and (batch[0].size or 0) > BATCH_BYTES:
                    _write_large(root, folder, git_dir, batch[0])
                    continue
                contents = read_blobs(git_dir, [entry.oid for entry in batch])
                for entry in batch:
                    data = contents[entry.oid]
                    if entry.mode == _LINK:
                        links[entry.path] = data
                    else:
                        tree.write_file(root, entry.path, (data,), executable=entry.mode == "100755", mtime_s=0.0)
            left = lost_links(links)
            for path in links.keys() - left:
                tree.write_link(root, path, links[path])
    except OSError as problem:
        why = f"what the dev container is built from cannot be written: {problem.strerror}"
        raise EnvironmentFailed(why, remedy="see the reason; is the disk full?", code="devcontainer") from None
    return _left_out(sorted(left))


def _write_large(root: int, folder: Path, git_dir: Path, entry: TreeEntry) -> None:
    with tempfile.TemporaryFile(dir=folder.parent) as file:  # beside it: /tmp may be memory
        copy_blob(git_dir, entry.oid, file)
        file.seek(0)
        chunks = iter(lambda: file.read(tree.CHUNK_BYTES), b"")
        tree.write_file(root, entry.path, chunks, executable=entry.mode == "100755", mtime_s=0.0)


def _left_out(paths: Sequence[bytes]) -> tuple[str, ...]:
    why = "a link that leads out of the repository, or nowhere: it was left out of the build"
    more = (f"{len(paths) - SHOWN:,} more such links were left out of the build",) if len(paths) > SHOWN else ()
    return (*(f"{os.fsdecode(path)!r} is {why}" for path in paths[:SHOWN]), *more)


def lost_links(links: Mapping[bytes, bytes]) -> frozenset[bytes]:
    """Those of all links (path -> target) that lead out of the folder that all paths begin in, alone or over others; or over more links
    than the kernel follows. Pure.

    Raises:
        ConfigError: there are so many, over so many, that nobody should have to tell.
    """
    inside = {path: target for path, target in links.items() if not leads_out(path, target)}
    lost = set(links.keys() - inside.keys())
    steps = 0
    for path in inside:
        followed = 0
        done = [b""]  # from the top to where we are, each the whole path
        pending = path.split(b"/")[::-1]
        while pending:
            if (steps := steps + 1) > MAX_STEPS:
                raise _refused("has links over links without end")
            step = pending.pop()
            if followed > MAX_FOLLOWED or (step == b".." and len(done) == 1):
                lost.add(path)
                break
            if step == b"..":
                done.pop()
            elif step not in (b"", b"."):
                here = done[-1] + b"/" + step
                if (target := inside.get(here[1:])) is None:
                    done.append(here)
                else:
                    followed += 1
                    steps += target.count(b"/")
                    pending += target.split(b"/")[::-1]
    return frozenset(lost)


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
