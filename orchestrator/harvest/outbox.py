"""Files out of the environment's outbox, copied without following a link, without waiting for a pipe, and never more than allowed.

Whoever wrote the outbox may still own it, so each file is opened once, judged by its descriptor and read from it.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from orchestrator.errors import HarvestFailed

CHUNK_BYTES = 1024 * 1024
DEPTH_MAX = 64
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor of the folder ``path``."""
    try:
        handle = os.open(path, _FOLDER)
    except OSError as problem:
        raise HarvestFailed(
            f"the outbox {path} cannot be opened: {problem.strerror}", remedy="see aienv ps for the kept workspace"
        ) from problem
    try:
        yield handle
    finally:
        os.close(handle)


def read(folder: int, name: str, limit: int) -> bytes | None:
    """A small file; None when there is none.

    Raises:
        HarvestFailed: a link, no regular file, or more than ``limit`` bytes.
    """
    handle = _open(folder, name)
    if handle is None:
        return None
    with os.fdopen(handle, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise HarvestFailed(f"{name!r} in the outbox is larger than {limit} bytes", remedy="the workspace is kept; see aienv ps")
    return data


def copy(folder: int, name: str, target: Path, limit: int) -> int | None:
    """Copy a file to ``target``, through a temporary name, safely on disk when this returns. Its size; None when there is none.

    Raises:
        HarvestFailed: a link, no regular file, more than ``limit`` bytes, or the disk is full.
    """
    handle = _open(folder, name)
    if handle is None:
        return None
    part = target.with_name(target.name + ".part")
    try:
        with os.fdopen(handle, "rb", buffering=0) as source, part.open("wb") as sink:
            size = 0
            while chunk := source.read(CHUNK_BYTES):
                size += len(chunk)
                if size > limit:
                    raise HarvestFailed(
                        f"{name!r} in the outbox is larger than {limit} bytes", remedy="the workspace is kept; see aienv ps"
                    )
                sink.write(chunk)
            sink.flush()
            os.fsync(sink.fileno())
        part.replace(target)
    except OSError as problem:
        part.unlink(missing_ok=True)
        raise HarvestFailed(
            f"{name!r} cannot be copied to {target}: {problem.strerror}", remedy="make room there, then: aienv gc"
        ) from problem
    except HarvestFailed:
        part.unlink(missing_ok=True)
        raise
    return size


def copy_tree(folder: int, name: str, target: Path, limit_bytes: int, limit_files: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Copy the regular files below a subfolder. Returns (relative names copied, what was left out and why)."""
    copied: list[str] = []
    left_out: list[str] = []
    left = [limit_bytes]

    def below(here: int, inside: str, depth: int) -> None:
        with os.scandir(here) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        for entry in listed:
            path = f"{inside}/{entry.name}" if inside else entry.name
            if entry.is_dir(follow_symlinks=False) and depth < DEPTH_MAX:
                with contextlib.suppress(OSError):
                    handle = os.open(entry.name, _FOLDER, dir_fd=here)
                    try:
                        below(handle, path, depth + 1)
                    finally:
                        os.close(handle)
            elif not entry.is_file(follow_symlinks=False) or len(copied) >= limit_files:
                left_out.append(f"artifact {path!r}: no regular file, or too many or too deep")
            else:
                take(here, entry.name, path)

    def take(here: int, entry: str, path: str) -> None:
        try:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            left[0] -= copy(here, entry, target / path, left[0]) or 0
            copied.append(path)
        except (HarvestFailed, OSError) as problem:
            left_out.append(f"artifact {path!r}: {problem}")

    try:
        start = os.open(name, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        return (), ()
    except OSError as problem:
        return (), (f"{name!r} in the outbox: {problem.strerror}",)
    try:
        below(start, "", 0)
    finally:
        os.close(start)
    return tuple(copied), tuple(left_out)


def sync_folder(path: Path) -> None:
    """Make the names in ``path`` survive a power cut."""
    handle = os.open(path, _FOLDER)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _open(folder: int, name: str) -> int | None:
    """A descriptor of the regular file ``name`` (parts of the way are not followed when they are links either)."""
    *way, last = name.split("/")
    opened_here: list[int] = []
    try:
        for part in way:
            folder = os.open(part, _FOLDER, dir_fd=folder)
            opened_here.append(folder)
        handle = os.open(last, _FILE, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise HarvestFailed(
            f"{name!r} in the outbox cannot be opened: {problem.strerror}", remedy="the workspace is kept; see aienv ps"
        ) from problem
    finally:
        for one in opened_here:
            os.close(one)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise HarvestFailed(f"{name!r} in the outbox is no regular file", remedy="the workspace is kept; see aienv ps")
    return handle
