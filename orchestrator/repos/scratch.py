"""Folders that last as long as one command, below ``Paths.tmp``.

Each is held by a lock on itself, which the kernel drops with the process: what nobody holds was left by a killed one. The purpose and the
process id in the name are for a reader only.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from orchestrator import trees
from orchestrator.errors import EnvironmentFailed
from orchestrator.model.paths import Paths, paths_from

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def scratch(purpose: str) -> Iterator[Path]:
    """A new folder, readable by this user only, removed at the end of the block.

    Raises:
        EnvironmentFailed: it cannot be made.
    """
    root = paths_from(os.environ).tmp
    try:
        folder, descriptor = _made(root, f"{purpose}-{os.getpid()}")
    except OSError as problem:
        raise EnvironmentFailed(
            f"no temporary folder can be made in {root}: {problem}", remedy="see the reason; is the disk full?"
        ) from problem
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            trees.remove(folder)
        os.close(descriptor)


def _made(root: Path, name: str) -> tuple[Path, int]:
    """A folder and the descriptor that holds its lock."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    while True:
        folder = root / f"{name}-{secrets.token_hex(4)}"
        folder.mkdir(mode=0o700)
        with contextlib.suppress(FileNotFoundError):  # a sweep came between
            descriptor = os.open(folder, _FOLDER)
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # a sweep holds it for as long as a removal takes
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)


def sweep_temporary(paths: Paths, *, dry_run: bool = False) -> tuple[str, ...]:
    """Remove what killed commands left below ``paths.tmp``. Returns the names of what went (or would go)."""
    gone = []
    for folder in sorted(paths.tmp.iterdir()) if paths.tmp.is_dir() else ():
        try:
            descriptor = os.open(folder, _FOLDER)
        except OSError:
            continue  # gone meanwhile, or nothing that we made
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            gone.append(folder.name)
            if not dry_run:
                with contextlib.suppress(OSError):
                    trees.remove(folder)
        except BlockingIOError:
            continue  # in use
        finally:
            os.close(descriptor)
    return tuple(gone)
