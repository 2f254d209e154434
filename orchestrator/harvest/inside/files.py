"""Files on disk: opened, listed and walked so that neither a link nor a pipe can do harm."""

import os
import stat
from collections.abc import Container, Iterator
from typing import NamedTuple

from orchestrator.harvest.inside.words import Trouble, holdable, looks_like_gitmodules, show

FILE, LINK, FOLDER, OTHER, CLOSED = "file", "link", "folder", "other", "closed"

SMALL_FILE_BYTES = 64 * 1024  # HEAD, one loose ref, a gitdir file
WALK_ENTRIES = 2_000_000  # in one work tree; what comes after is not looked at, and the harvest is incomplete


class Tree(NamedTuple):
    """What lies in a work tree, paths relative to its root."""

    files: dict[bytes, str]
    nested: list[bytes]
    stray_git: list[bytes]  # ``.git`` entries that are no repository
    odd: list[bytes]  # names that no tree of git can hold
    special: list[bytes]
    closed: list[bytes]  # folders that cannot be listed
    cut: bool


def read_file(path: bytes, limit: int = SMALL_FILE_BYTES) -> bytes | None:
    """Contents of a regular file, None when there is none.

    Raises:
        Trouble: unreadable, longer than ``limit``, or of another kind.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as problem:
        raise Trouble(f"{show(path)}: {problem.strerror}") from problem
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode):
        os.close(handle)
        raise Trouble(f"{show(path)} is not a regular file")
    with os.fdopen(handle, "rb") as file:
        if facts.st_size > limit:
            raise Trouble(f"{show(path)} has {facts.st_size} bytes, more than {limit}")
        try:
            return file.read(limit + 1)
        except OSError as problem:
            raise Trouble(f"{show(path)}: {problem.strerror}") from problem


def kind_of(facts: os.stat_result) -> str:
    mode = facts.st_mode
    return FILE if stat.S_ISREG(mode) else LINK if stat.S_ISLNK(mode) else FOLDER if stat.S_ISDIR(mode) else OTHER


def kind_at(root: bytes, path: bytes) -> str | None:
    """What lies at ``root/path`` when no part of the way is a link; None when nothing does."""
    parts, here = path.split(b"/"), root
    for number, part in enumerate(parts):
        here = here + b"/" + part
        try:
            kind = kind_of(os.lstat(here))
        except OSError:
            return None
        if number < len(parts) - 1 and kind != FOLDER:
            return None
    return kind


def is_git_folder(path: bytes) -> bool:
    """Whether a folder holds enough of a repository to be worth opening."""
    return os.path.isdir(path + b"/objects") and (os.path.lexists(path + b"/HEAD") or os.path.isdir(path + b"/refs"))


def git_folder_of(worktree: bytes) -> bytes | None:
    """The git folder behind ``worktree/.git``, be it a folder, a link or a ``gitdir:`` file; None when there is none."""
    place = worktree + b"/.git"
    try:
        facts = os.lstat(place)
    except OSError:
        return None
    if stat.S_ISREG(facts.st_mode):
        try:
            text = read_file(place) or b""
        except Trouble:
            return None
        if not text.startswith(b"gitdir:"):
            return None
        place = os.path.join(worktree, text[7:].split(b"\n")[0].strip())
    resolved = os.path.realpath(place)
    if is_git_folder(resolved):
        return resolved
    return resolved if os.path.isfile(resolved + b"/commondir") and os.path.lexists(resolved + b"/HEAD") else None


def holds_git(worktree: bytes) -> bool:
    """Whether git, passing by, would open a pipe or device behind ``worktree/.git``, and wait or read for ever."""
    folders = [worktree + b"/.git"]
    try:
        text = read_file(folders[0]) or b""
    except Trouble:
        text = b""
    if text.startswith(b"gitdir:"):
        folders = [os.path.join(worktree, text[7:].split(b"\n")[0].strip())]
    for name in (b"/HEAD", b"/commondir"):
        try:
            if kind_of(os.stat(folders[0] + name)) == OTHER:
                return True
        except (OSError, ValueError):
            continue
    return False


def walk(root: bytes, hidden: frozenset[int] = frozenset()) -> Tree:
    """All that lies below ``root``, without its own ``.git``, the files of nested repositories, and entries with ``hidden`` inodes."""
    found = Tree({}, [], [], [], [], [], False)
    pending, seen = [b""], 0
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(root + b"/" + folder if folder else root) as entries:
                listed = [entry for entry in entries if entry.inode() not in hidden]
        except OSError:
            found.closed.append(folder)
            continue
        seen += len(listed)
        if seen > WALK_ENTRIES:
            return found._replace(cut=True)
        names = {entry.name for entry in listed}
        if folder and b".git" in names:
            if holds_git(root + b"/" + folder):
                found.special.append(folder + b"/.git/HEAD")
            if git_folder_of(root + b"/" + folder) is not None:
                found.nested.append(folder)
                continue
        for entry in listed:
            path = folder + b"/" + entry.name if folder else entry.name
            if entry.name == b".git":
                if folder:
                    found.stray_git.append(path)
            elif not holdable(entry.name) or len(path) >= 4096 - len(root):
                found.odd.append(path)
            elif entry.is_symlink():
                found.files[path] = LINK
                if looks_like_gitmodules(path):
                    del found.files[path]
                    found.odd.append(path)
            elif entry.is_dir(follow_symlinks=False):
                pending.append(path)
            elif entry.is_file(follow_symlinks=False):
                found.files[path] = FILE
            else:
                found.special.append(path)
    return found


def everything_below(path: bytes, without: Container[bytes] = ()) -> Iterator[tuple[bytes, str]]:
    """``path`` and all below it but ``without``, with their kinds, links not followed; what cannot be looked at is ``CLOSED``."""
    pending = [path]
    while pending:
        here = pending.pop()
        if here in without:
            continue
        try:
            kind = kind_of(os.lstat(here))
            names = sorted(os.listdir(here), reverse=True) if kind == FOLDER else []
        except OSError:
            yield here, CLOSED
            continue
        yield here, kind
        pending.extend(here + b"/" + name for name in names)
