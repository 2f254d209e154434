"""One git folder with its work tree, as a clone or a submodule of it.

It borrows objects from a mirror through ``objects/info/alternates``, which names a path that exists only inside the environment:
``/run/aienv/objects/<mirror key>``. On the host git finds the same objects through an environment variable; the file is written last.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.repos import lfs, tree
from orchestrator.repos.contents import TreeEntry, object_format, tree_of
from orchestrator.repos.gitcmd import git
from orchestrator.repos.local import LocalRepo
from orchestrator.repos.mirror import Mirror, initialise, reading

CHECKOUT_DEADLINE_S = 900.0
OBJECTS_INSIDE = "/run/aienv/objects"
ADVICE = "[advice]\n\tdetachedHead = false\n\taddEmbeddedRepo = false\n"


@dataclass(frozen=True, slots=True)
class Place:
    """One git folder with its work tree, and the mirror from which it borrows. ``path`` is relative to the workspace, empty for its top."""

    path: str
    git_dir: Path
    work_tree: Path
    mirror: Mirror

    @property
    def env(self) -> dict[str, str]:
        return {"GIT_DIR": str(self.git_dir), "GIT_WORK_TREE": str(self.work_tree), **borrowing((self.mirror.objects,))}


def borrowing(folders: Sequence[Path]) -> dict[str, str]:
    """The variable by which git on the host finds borrowed objects. Quoted, for a path may hold the separator."""
    quoted = ('"' + str(folder).replace("\\", "\\\\").replace('"', '\\"') + '"' for folder in folders)
    return {"GIT_ALTERNATE_OBJECT_DIRECTORIES": ":".join(quoted)}


@dataclass(frozen=True, slots=True)
class Filled:
    """What ``populate`` put into one place."""

    commit: str | None
    entries: tuple[TreeEntry, ...]
    pointers: tuple[lfs.Pointer, ...]
    notes: tuple[str, ...]


def populate(
    place: Place,
    commit: str | None,
    branch: str | None,
    refs: tuple[tuple[str, str], ...],
    lfs_from: LocalRepo | None,
    *,
    with_lfs: bool,
    config: str = ADVICE,
) -> Filled:
    """Make the git folder of ``place`` and check ``commit`` out. Nothing of it is owned by the agent yet."""
    with reading(place.mirror):
        initialise(place.git_dir, bare=False, object_format=object_format(place.mirror.git_dir), extra=config)
        # They exist so that the sandbox can cover them read-only.
        (place.git_dir / "hooks").mkdir()
        (place.git_dir / "info").mkdir()
        (place.git_dir / "info" / "exclude").touch()
        _write_refs(place.git_dir, commit, branch, refs)
        boundary = place.mirror.git_dir / "shallow"
        if boundary.exists():
            (place.git_dir / "shallow").write_bytes(boundary.read_bytes())
        if commit is None:
            return Filled(None, (), (), ())
        git(
            ("read-tree", "-m", "-u", commit),
            doing=f"checking {commit[:12]} out",
            cwd=place.work_tree,
            env=place.env,
            deadline_s=CHECKOUT_DEADLINE_S,
        )
        entries = tree_of(place.mirror.git_dir, commit)
        pointers: tuple[lfs.Pointer, ...] = ()
        notes: tuple[str, ...] = ()
        if with_lfs and (found := lfs.find_pointers(place.mirror, place.git_dir, place.env, entries)):
            pointers, notes = lfs.fill(found, place.mirror, lfs_from, commit, place.work_tree)
        return Filled(commit, entries, pointers, notes)


def settle(place: Place, pointers: tuple[lfs.Pointer, ...]) -> None:
    """Make the index agree with the files as they are now: a change of owner, or content in place of a pointer, makes them look touched."""
    if pointers:
        # An entry that is entered anew has no size; one that has another size than its file is never looked into again.
        entries = (f"{'100755' if one.executable else '100644'} {one.blob}\t".encode() + one.path + b"\0" for one in pointers)
        git(("update-index", "-z", "--index-info"), env=place.env, input=b"".join(entries))
    if pointers or os.geteuid() == 0:
        with lfs.known_pointers(pointers, place.git_dir) as config, reading(place.mirror):
            options = ("update-index", "-q", "--refresh")
            git(options, cwd=place.work_tree, env=place.env, config=config, check=False, deadline_s=CHECKOUT_DEADLINE_S)


def borrow_inside(place: Place, uid: int, gid: int) -> None:
    (place.git_dir / "objects" / "info").mkdir(exist_ok=True)
    (place.git_dir / "objects" / "info" / "alternates").write_text(f"{OBJECTS_INSIDE}/{place.mirror.key}\n")
    tree.give(place.git_dir / "objects" / "info", uid, gid)
    if os.geteuid() == 0 and (place.git_dir / "index").exists():
        os.chown(place.git_dir / "index", uid, gid, follow_symlinks=False)


def _write_refs(git_dir: Path, commit: str | None, branch: str | None, refs: tuple[tuple[str, str], ...]) -> None:
    """One file instead of thousands. It has no first line: with one but without the word "peeled" GitPython, and with it aider, reads no
    refs at all; and with that word git would not look annotated tags up by itself."""
    head = f"ref: refs/heads/{branch}" if branch is not None or commit is None else commit
    (git_dir / "HEAD").write_bytes(os.fsencode(f"{head}\n"))
    lines = sorted(os.fsencode(name) + b"\0" + oid.encode() for name, oid in refs)
    packed = b"".join(oid + b" " + name + b"\n" for name, _, oid in (line.partition(b"\0") for line in lines))
    if packed:
        (git_dir / "packed-refs").write_bytes(packed)
