"""How long a mirror lives. A marker per run outlives the process that made it, so a clone that is kept keeps its objects."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from orchestrator.repos.lock import try_locked
from orchestrator.repos.mirror import KEY, Mirror, state_of


def sweep(root: Path, live: Callable[[str], bool], *, unused_s: float, now: float) -> tuple[str, ...]:
    """Remove mirrors that no live run borrows from and that nobody fetched for ``unused_s``. Returns the keys of what went."""
    gone = []
    for lock in sorted(root.glob("*.lock")):
        key = lock.name.removesuffix(".lock")
        if KEY.fullmatch(key) and not _borrowed(root, key, live) and _sweep_one(Mirror(root, key), unused_s, now):
            gone.append(key)
    return tuple(gone)


def _borrowed(root: Path, key: str, live: Callable[[str], bool]) -> bool:
    for marker in (root / f"{key}.keep").glob("*"):
        if live(marker.name):
            return True
        marker.unlink(missing_ok=True)
    return False


def _sweep_one(mirror: Mirror, unused_s: float, now: float) -> bool:
    with contextlib.ExitStack() as held:
        for name in ("lock", "use"):
            descriptor = try_locked(mirror.root / f"{mirror.key}.{name}")
            if descriptor is None:
                return False
            held.callback(os.close, descriptor)
        _remove(mirror.root.glob(f"{mirror.key}.git.*"))
        state = state_of(mirror)
        if not mirror.git_dir.exists() or (state is not None and now - state.fetched_at < unused_s):
            return False
        # Renamed first: a removal that is cut short leaves no half mirror under the real name.
        doomed = mirror.root / f"{mirror.key}.git.old-{secrets.token_hex(4)}"
        mirror.git_dir.rename(doomed)
        _remove((doomed,))
        return True


def _remove(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
