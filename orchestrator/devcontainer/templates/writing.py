"""Files into a folder, all of them or none. Links are not followed: what lies in the folder may be a repository that nobody knows.

    1. every place is looked at: is there something already, is a link on the way?
    2. all content is written into a folder of its own beside the places
    3. each file is renamed to its place; what goes wrong before the last one is undone

Killed in between, some files are in place and whole, the others lie in ``.aienv-template-*``, which can be removed.
"""

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from orchestrator.devcontainer.templates.content import File, check_path
from orchestrator.errors import EnvironmentFailed, UsageError

SCRATCH = ".aienv-template-"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class _Place:
    path: str
    state: str  # free, file, or what stands in the way


def write(folder: Path, files: Mapping[str, File], *, force: bool) -> None:
    """``force``: over files that are there. ``folder`` is there, and may itself be a link.

    Raises:
        UsageError: something is there already, or a link or another thing is in the way; nothing was written.
        EnvironmentFailed: the disk does not take it; nothing was left.
        ConfigError: a path leads out of the folder.
    """
    for path in files:
        check_path(path)
    try:
        with _opened(folder) as top:
            _refuse([_Place(path, _state(top, path)) for path in files], force)
            _write(top, files)
    except OSError as problem:
        raise EnvironmentFailed(f"cannot write into {folder}: {problem.strerror}", code="template-write") from None


def _refuse(places: list[_Place], force: bool) -> None:
    bad = [f"{place.path} ({place.state})" for place in places if place.state not in ("free", "file")]
    if bad:
        message = f"in the way: {_listed(bad)}; nothing was written"
        raise UsageError(message, remedy="remove it, or choose another folder", code="template-way")
    there = [place.path for place in places if place.state == "file"]
    if there and not force:
        raise UsageError(f"there already: {_listed(there)}; nothing was written", remedy="--force overwrites them", code="template-exists")


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _state(top: int, path: str) -> str:
    """Without following a link anywhere below ``top``."""
    *folders, name = path.split("/")
    with ExitStack() as closing:
        here = top
        for number, part in enumerate(folders):
            kind = _kind(here, part)
            if kind == "free":
                return "free"
            if kind != "folder":
                return f"{'/'.join(folders[: number + 1])} is a {kind}"
            here = closing.enter_context(_folder(here, part))
        kind = _kind(here, name)
        return kind if kind in ("free", "file") else f"is a {kind}"


def _kind(folder: int, name: str) -> str:
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return "free"
    kinds = ((stat.S_ISREG, "file"), (stat.S_ISDIR, "folder"), (stat.S_ISLNK, "link"))
    return next((kind for test, kind in kinds if test(mode)), "special file")


def _write(top: int, files: Mapping[str, File]) -> None:
    name = SCRATCH + secrets.token_hex(6)
    with ExitStack() as closing:
        closing.callback(shutil.rmtree, name, ignore_errors=True, dir_fd=top)
        os.mkdir(name, 0o700, dir_fd=top)
        scratch = closing.enter_context(_folder(top, name))
        for number, file in enumerate(files.values()):
            _put(scratch, f"new{number}", file)
        with ExitStack() as undo:
            folders = _Folders(top, closing, undo)
            for number, path in enumerate(files):
                above, _, last = path.rpartition("/")
                folder = folders.open(above)
                undo.callback(_put_back, number, last, folder, scratch)
                _move(number, last, folder, scratch)
            undo.pop_all()  # all are in place


class _Folders:
    """Those that files come into, made where they are missing and held open: their names may come to mean something else."""

    def __init__(self, top: int, closing: ExitStack, undo: ExitStack) -> None:
        self._open = {"": top}
        self._closing = closing
        self._undo = undo

    def open(self, path: str) -> int:
        if path not in self._open:
            above, _, name = path.rpartition("/")
            parent = self.open(above)
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=parent)
                self._undo.callback(_rmdir, name, parent)
            self._open[path] = self._closing.enter_context(_folder(parent, name))
        return self._open[path]


def _put(scratch: int, name: str, file: File) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(name, flags, 0o777 if file.executable else 0o666, dir_fd=scratch), "wb") as stream:
        stream.write(file.data)
        stream.flush()
        os.fsync(stream.fileno())


def _move(number: int, name: str, folder: int, scratch: int) -> None:
    """To its place; what was there waits among the scratch files until all are."""
    with contextlib.suppress(FileNotFoundError):
        try:
            os.link(name, f"old{number}", src_dir_fd=folder, dst_dir_fd=scratch, follow_symlinks=False)
        except PermissionError:  # a file system without hard links
            os.rename(name, f"old{number}", src_dir_fd=folder, dst_dir_fd=scratch)
    os.rename(f"new{number}", name, src_dir_fd=scratch, dst_dir_fd=folder)


def _put_back(number: int, name: str, folder: int, scratch: int) -> None:
    with contextlib.suppress(OSError):
        if _kind(scratch, f"old{number}") != "free":
            os.rename(f"old{number}", name, src_dir_fd=scratch, dst_dir_fd=folder)
        elif _kind(scratch, f"new{number}") == "free":
            os.unlink(name, dir_fd=folder)


def _rmdir(name: str, folder: int) -> None:
    with contextlib.suppress(OSError):
        os.rmdir(name, dir_fd=folder)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield number
    finally:
        os.close(number)


@contextlib.contextmanager
def _folder(parent: int, name: str) -> Iterator[int]:
    number = os.open(name, _FOLDER, dir_fd=parent)
    try:
        yield number
    finally:
        os.close(number)
