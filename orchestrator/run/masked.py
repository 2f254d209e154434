"""Masked files, found again after the agent has worked.

A masked file cannot be moved, but the folder it lies in can; and where the folder was there may be a link that leads out of
the workspace. So the next command's masks are made from what the files are, not from where they were.
"""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from orchestrator.errors import EnvironmentFailed

Identity = tuple[int, int]  # device and inode: the file stays while its folder moves


def identities(workspace: Path, masks: Collection[str]) -> tuple[Identity, ...]:
    """What the masked files are; for the time before anything of the agent's runs."""
    return tuple(sorted({_identity(os.lstat(workspace / path)) for path in masks}))


def masked_now(workspace: Path, known: Collection[Identity], skip_closed: bool = False) -> tuple[str, ...]:
    """Where those files are now, as paths below the workspace, sorted. Links are not followed.

    ``skip_closed``: pass over folders that cannot be read, for a reader who cannot read them either.

    Raises:
        EnvironmentFailed: a folder cannot be read, so a masked file in it could not be hidden.
    """
    return tuple(sorted(_find(str(workspace), frozenset(known), skip_closed))) if known else ()


def still_hidden(workspace: Path, masks: Collection[str], known: Collection[Identity], emptied: bool = False) -> tuple[str, ...]:
    """The paths that a harvest must not read as the agent's: the masked files, and their old places where nothing is now.

    ``emptied``: they hold nothing any more, and what mounts the workspace can write them: one that has content is work.

    What else stands at an old place the agent made itself, after it had moved the folder away.
    """
    gone = [path for path in masks if not _is_taken(workspace, path)]
    there = masked_now(workspace, known, skip_closed=True)
    return tuple(sorted({*gone, *(path for path in there if not (emptied and _has_content(workspace / path)))}))


def _has_content(file: Path) -> bool:
    try:
        return os.lstat(file).st_size > 0
    except OSError:
        return False


def _is_taken(workspace: Path, path: str) -> bool:
    """Whether something is at ``path``, or something that is no folder stands where one of its folders was."""
    place = workspace
    names = path.split("/")
    for number, name in enumerate(names, start=1):
        place = place / name
        try:
            facts = os.lstat(place)
        except OSError:
            return False
        if number < len(names) and not stat.S_ISDIR(facts.st_mode):
            return True
    return True


def _find(workspace: str, known: frozenset[Identity], skip_closed: bool) -> Iterator[str]:
    pending = [""]
    inodes = {inode for _, inode in known}
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(f"{workspace}/{folder}") as entries:
                for entry in entries:
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(path)
                    elif entry.inode() in inodes and _identity(entry.stat(follow_symlinks=False)) in known:
                        yield path
        except OSError as problem:
            if skip_closed:
                continue
            message = f"masked files could not be found again: {folder or 'the workspace'!r}: {problem.strerror}"
            raise EnvironmentFailed(message, remedy="the agent closed this folder; let it leave its folders readable") from problem


def _identity(facts: os.stat_result) -> Identity:
    return facts.st_dev, facts.st_ino
