"""How long a mirror lives. A marker per run outlives the process that made it, so a clone that is kept keeps its objects."""

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from orchestrator.repos.lock import try_locked
from orchestrator.repos.mirror import KEY, Mirror, state_of


def keep(mirror: Mirror, run_id: str) -> None:
    """From now on a clone of ``run_id`` borrows from the mirror: it stays, also when this process dies."""
    folder = mirror.root / f"{mirror.key}.keep"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / _run_name(run_id)).touch()


def release(root: Path, run_id: str) -> None:
    """``run_id`` has no clone any more. Nothing to release is fine."""
    for marker in root.glob(f"*.keep/{_run_name(run_id)}"):
        marker.unlink(missing_ok=True)


def _run_name(run_id: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", run_id):
        raise ValueError(f"not a run id: {run_id!r}")
    return run_id


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
