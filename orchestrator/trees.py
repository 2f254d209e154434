"""Walking, measuring and removing folders that somebody else made, however deep they are.

``os.walk``, ``os.fwalk`` and ``shutil.rmtree`` go down by recursion (up to Python 3.12), with a descriptor for each level, or by paths: a
thousand folders in each other, or names longer than a path may be, end them. Here nothing grows with the depth but a list. Links are
never followed.
"""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def walk(root: Path) -> Iterator[tuple[int, list[str], list[str]]]:
    """Each folder at and below ``root`` as an open descriptor, the names of its folders and of all else; from the top.

    The descriptor is good until the next step. What is taken off the folders is not gone into; what is closed to us is passed over.

    Raises:
        OSError: ``root`` cannot be read, or a folder was moved meanwhile.
    """
    here = os.open(root, _FOLDER)
    above: list[tuple[tuple[int, int], list[str]]] = []
    try:
        while True:
            folders, others = _listed(here)
            yield here, folders, others
            pending = folders[::-1]
            while (below := _next_below(here, pending)) is None:
                if not above:
                    return
                identity, pending = above.pop()
                here = _replaced(here, os.open("..", _FOLDER, dir_fd=here))
                if _identity(here) != identity:
                    raise OSError(errno.ESTALE, "a folder was moved while it was looked at")
            above.append((_identity(here), pending))
            here = _replaced(here, below)
    finally:
        os.close(here)


def walk_paths(root: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """As ``os.walk``, for trees whose paths are known to be short enough."""
    waiting = [str(root)]
    while waiting:
        place = waiting.pop()
        folders: list[str] = []
        files: list[str] = []
        with contextlib.suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                # As os.walk has it: a link to a folder is a folder that is not gone into.
                (folders if _is_folder(entry) else files).append(entry.name)
        yield place, folders, files
        waiting += [path for name in reversed(folders) if not os.path.islink(path := os.path.join(place, name))]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """A link in a circle is none; said by an error, it would hide what comes after it."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def size(root: Path) -> int:
    """Bytes on disk below ``root``; what disappears meanwhile, or is closed, counts as nothing."""
    total = 0
    with contextlib.suppress(OSError):
        for here, _, others in walk(root):
            for name in others:
                with contextlib.suppress(OSError):
                    total += os.stat(name, dir_fd=here, follow_symlinks=False).st_blocks * 512
    return total


def remove(root: Path) -> None:
    """Remove a folder with all that is in it, content when there is none. What was closed (mode 000, read-only folders) is opened first.

    Raises:
        OSError: something cannot be removed.
    """
    try:
        shutil.rmtree(root)
    except FileNotFoundError:
        return
    except (OSError, RecursionError):
        _remove_flat(root)


def _remove_flat(root: Path) -> None:
    """Each folder's folders are moved up to ``root`` before it is removed: then the depth does not matter."""
    top = _opened(None, str(root))
    try:
        while waiting := _emptied(top):
            for name in waiting:
                here = _opened(top, name)
                try:
                    for below in _emptied(here):
                        os.close(_opened(here, below))  # moving it needs the right to write to it
                        os.rename(below, secrets.token_hex(16), src_dir_fd=here, dst_dir_fd=top)
                finally:
                    os.close(here)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(root)


def _emptied(folder: int) -> list[str]:
    """The names of the folders in it; all else is removed."""
    folders, others = _listed(folder)
    for name in others:
        os.unlink(name, dir_fd=folder)
    return folders


def _opened(folder: int | None, name: str) -> int:
    """A folder with all rights for its owner."""
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.chmod(f"/proc/self/fd/{handle}", 0o700)  # O_PATH needs no right to read
        return os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(handle)


def _listed(folder: int) -> tuple[list[str], list[str]]:
    """The names of its folders, and of all else."""
    folders: list[str] = []
    others: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            (folders if entry.is_dir(follow_symlinks=False) else others).append(entry.name)
    return folders, others


def _next_below(folder: int, pending: list[str]) -> int | None:
    """The next of the pending folders from which there is a way back, taken off the list."""
    while pending:
        with contextlib.suppress(OSError):
            below = os.open(pending.pop(), _FOLDER, dir_fd=folder)
            try:
                os.stat("..", dir_fd=below)
            except OSError:
                os.close(below)
                continue
            return below
    return None


def _replaced(old: int, new: int) -> int:
    os.close(old)
    return new


def _identity(folder: int) -> tuple[int, int]:
    facts = os.fstat(folder)
    return facts.st_dev, facts.st_ino
