"""Gives everything below a folder to one user: what containers made as root, a run must be able to read, and to remove.

    python3 -I -S -c 'import sys; sys.path.insert(0, ".../lib/aienv"); import takeback; takeback.main()' FOLDER UID GID

Runs as root: in a container of its own where aienv is an ordinary user, with a copy of ``trees`` beside it. Links are not followed. Devices
are removed: they hold no bytes, and whoever owns one has the device. A changed owner takes the set-user bit away.
"""

import os
import stat
import sys
from pathlib import Path

from orchestrator import trees


def take_back(root: Path, uid: int, gid: int) -> int:
    """How many entries were changed. ``root`` itself is among them.

    Raises:
        OSError: something cannot be had.
    """
    changed = 0
    if os.lstat(root).st_uid != uid:
        os.chown(root, uid, gid, follow_symlinks=False)
        changed += 1
    for here, folders, others in trees.walk(root):
        changed += sum(_take(here, name, uid, gid) for name in (*folders, *others))
    return changed


def _take(folder: int, name: str, uid: int, gid: int) -> bool:
    facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISBLK(facts.st_mode) or stat.S_ISCHR(facts.st_mode):
        os.unlink(name, dir_fd=folder)
        return True
    if facts.st_uid == uid:
        return False
    os.chown(name, uid, gid, dir_fd=folder, follow_symlinks=False)
    return True


def is_foreign(root: Path, uid: int) -> bool:
    """Whether there is anything of somebody else's, or a device. What cannot be looked into counts."""
    if os.lstat(root).st_uid != uid:
        return True
    for here, folders, others in trees.walk(root):
        for name in (*folders, *others):
            facts = os.stat(name, dir_fd=here, follow_symlinks=False)
            if facts.st_uid != uid or stat.S_ISBLK(facts.st_mode) or stat.S_ISCHR(facts.st_mode):
                return True
    return False


def main() -> None:
    folder, uid, gid = sys.argv[1:4]
    print(take_back(Path(folder), int(uid), int(gid)))
