"""Files that the task asked for by pattern, copied as they are."""

import fnmatch
import os
from collections.abc import Iterator, Sequence

from orchestrator.harvest.inside.files import FILE, everything_below
from orchestrator.harvest.inside.job import Job
from orchestrator.harvest.inside.words import show


def copy_artifacts(job: Job) -> None:
    """All files that the patterns name, up to the limit; the rest is named in the notes."""
    left = job.config.limits.artifact_bytes
    seen: set[bytes] = set()
    for pattern in job.config.artifacts:
        matched = sorted(matches(job.config.workspace, pattern))
        if not matched:
            job.note(f"no file matches the artifact pattern {show(pattern)}")
        for path in matched:
            if path in seen or job.masked(job.config.workspace + b"/" + path):
                continue
            seen.add(path)
            size = os.lstat(job.config.workspace + b"/" + path).st_size
            if size > left or len(seen) > job.config.limits.files:
                job.note(f"artifact {show(path)} ({size} bytes) is beyond the limit")
                continue
            if _copy_artifact(job, path):
                left -= size
                job.taken.append({"path": show(path), "bytes": size})


def _copy_artifact(job: Job, path: bytes) -> bool:
    """Whether the file could be opened and copied."""
    target = job.config.outbox + b"/artifacts/" + path
    try:
        handle = os.open(job.config.workspace + b"/" + path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as problem:
        job.note(f"artifact {show(path)}: {problem.strerror}")
        return False
    with os.fdopen(handle, "rb") as source:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as sink:
            while chunk := source.read(1 << 20):
                sink.write(chunk)
    return True


def matches(root: bytes, pattern: bytes) -> Iterator[bytes]:
    """Regular files that a pattern names: ``*`` within one part, ``**`` any number of parts; a matching folder stands for all below it."""
    parts = [part for part in pattern.split(b"/") if part not in (b"", b".")]
    if b".." in parts or not parts:
        return
    yield from _matches(root, b"", parts)


def _matches(root: bytes, here: bytes, parts: Sequence[bytes]) -> Iterator[bytes]:
    if not parts:
        for path, kind in everything_below(root + b"/" + here):
            if kind == FILE and b".git" not in path[len(root) + 1 :].split(b"/"):
                yield path[len(root) + 1 :]
        return
    first, rest = parts[0], parts[1:]
    if first == b"**":
        yield from _matches(root, here, rest or [b"*"])
    try:
        with os.scandir(root + b"/" + here if here else root) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in listed:
        path = here + b"/" + entry.name if here else entry.name
        if entry.name == b".git" or entry.is_symlink():
            continue
        folder = entry.is_dir(follow_symlinks=False)
        if first == b"**":
            if folder:
                yield from _matches(root, path, parts)
        elif fnmatch.fnmatchcase(entry.name, first) and (folder or not rest):
            yield from _matches(root, path, rest)
