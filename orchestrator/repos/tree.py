"""Writing below a folder whose content somebody else made.

Every step of a path is opened with O_NOFOLLOW from the folder above it, so no symlink in the tree leads a write anywhere else.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from orchestrator import trees
from orchestrator.errors import EnvironmentFailed

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
CHUNK_BYTES = 1024 * 1024


@contextlib.contextmanager
def opened(root: Path) -> Iterator[int]:
    """A descriptor of the folder ``root`` itself, which may not be a symlink."""
    descriptor = os.open(root, _FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def parts_of(path: bytes) -> list[bytes]:
    """The steps of a relative path.

    Raises:
        EnvironmentFailed: it is absolute, climbs, or leads into a git folder.
    """
    parts = path.split(b"/")
    if any(part in (b"", b".", b"..") or part.lower() == b".git" or b"\0" in part for part in parts):
        raise EnvironmentFailed(f"the path {os.fsdecode(path)!r} cannot be used in a workspace", remedy="rename that file", code="path")
    return parts


@contextlib.contextmanager
def parent_of(root: int, path: bytes, *, make: bool = False) -> Iterator[tuple[int, bytes]]:
    """(descriptor of the folder that holds ``path``, last step).

    Raises:
        OSError: a step is missing (and ``make`` is not set), or is no real folder.
    """
    *folders, last = parts_of(path)
    with contextlib.ExitStack() as closing:
        current = root
        for step in folders:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(step, 0o755, dir_fd=current)
            current = os.open(step, _FOLDER, dir_fd=current)
            closing.callback(os.close, current)
        yield current, last


def status_of(root: int, path: bytes) -> os.stat_result | None:
    """What is at ``path`` itself; None when there is nothing, or only behind a symlink."""
    try:
        with parent_of(root, path) as (folder, last):
            return os.stat(last, dir_fd=folder, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError, OSError):
        return None


def read_link(root: int, path: bytes) -> bytes:
    with parent_of(root, path) as (folder, last):
        return os.readlink(last, dir_fd=folder)


def read_chunks(root: int, path: bytes) -> Iterator[bytes]:
    """The content of the regular file at ``path``.

    Raises:
        OSError: there is none; a pipe or a device is none and is not waited for.
    """
    with parent_of(root, path) as (folder, last):
        descriptor = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{os.fsdecode(path)!r} is not a regular file")
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def write_file(root: int, path: bytes, chunks: Iterable[bytes], *, executable: bool, mtime_s: float | None = None) -> None:
    """Put a regular file at ``path``, in place of a file or symlink that is there. Whole or not at all."""
    with parent_of(root, path, make=True) as (folder, last):
        temporary = b".aienv-" + secrets.token_hex(6).encode()
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fchmod(descriptor, 0o755 if executable else 0o644)
                if mtime_s is not None:
                    os.utime(descriptor, (mtime_s, mtime_s))
            os.rename(temporary, last, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:  # ^C too: the temporary name goes, and the reason goes on
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
            raise


def write_link(root: int, path: bytes, target: bytes) -> None:
    """Put a symlink at ``path``, in place of a file or symlink that is there."""
    with parent_of(root, path, make=True) as (folder, last):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(last, dir_fd=folder)
        os.symlink(target, last, dir_fd=folder)


def remove(root: int, path: bytes) -> None:
    """Take away the file or symlink at ``path``, and the folders that it leaves empty. Nothing there is fine; a folder there stays."""
    try:
        with parent_of(root, path) as (folder, last):
            os.unlink(last, dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return
    except OSError:
        if status_of(root, path) is not None:
            raise
        return
    steps = parts_of(path)[:-1]
    for length in range(len(steps), 0, -1):
        try:
            with parent_of(root, b"/".join(steps[:length])) as (folder, last):
                os.rmdir(last, dir_fd=folder)
        except OSError:
            return


def give(root: Path, uid: int, gid: int) -> None:
    """Everything at and below ``root`` belongs to ``uid``; symlinks themselves, never what they point at. Only root can and must."""
    if os.geteuid() != 0:
        return
    for descriptor, folders, files in trees.walk(root):
        for name in (*folders, *files):
            os.chown(name, uid, gid, dir_fd=descriptor, follow_symlinks=False)
    os.chown(root, uid, gid, follow_symlinks=False)


def remove_tree(folder: Path) -> None:
    """Remove a half-made tree of ours."""
    trees.remove(folder)
