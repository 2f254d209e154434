"""Uncommitted work: putting it into the run's clone, index and files alike.

Every byte is read from the user's checkout once more and must have the digest that the ``ChangeSet`` names. What was staged there is staged
inside as well, except where the file is hidden inside: a mount covers a file, but nothing covers an object.
"""

import hashlib
import os
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.errors import EnvironmentFailed, UsageError
from orchestrator.model.plan import ChangesPlan
from orchestrator.repos import tree
from orchestrator.repos.changeset import Carried, ChangeSet, Staged
from orchestrator.repos.gitcmd import git

IMPORT_DEADLINE_S = 300.0
_FILES = ("100644", "100755")  # a symlink is never hidden, and a removal brings nothing


def check(changes: ChangeSet, planned: ChangesPlan, commit: str | None) -> None:
    """The changes are still those that were planned, and belong to the commit that is cloned.

    Raises:
        UsageError: they are not.
    """
    _same_base(changes, commit)
    if changes.plan() != planned:
        raise UsageError(
            f"the changes in {changes.root} are not those that were planned ({planned.digest[:19]})",
            remedy="nothing was started; plan again, and leave the files alone until the run has begun",
            code="changes-moved",
        )


def _same_base(changes: ChangeSet, commit: str | None) -> None:
    if changes.base != commit:
        raise UsageError(
            f"--with-changes brings what lies on top of HEAD ({_short(changes.base)}), but the run starts from {_short(commit)}",
            remedy="leave --ref out, or check that commit out first",
            code="changes-base",
        )


def _short(commit: str | None) -> str:
    return commit[:12] if commit else "no commit"


def apply(changes: ChangeSet, workspace: Path, uid: int, gid: int, *, hidden: Collection[bytes] = frozenset()) -> tuple[bytes, ...]:
    """Reproduce ``changes`` in a clone that was just made from their base; it belongs to ``uid`` and ``gid`` afterwards.

    ``hidden``: paths that the caller covers inside. Their files are brought along for the cover to lie on; what was staged of them is not.
    Returns the paths of which that was withheld.

    Raises:
        UsageError: a file has changed since it was captured; the clone is to be thrown away.
        EnvironmentFailed: git refuses an entry, or the disk is full.
    """
    # No object of the clone is read here, so it does not matter that what it borrows is out of reach on the host.
    env = {"GIT_DIR": str(workspace / ".git"), "GIT_WORK_TREE": str(workspace)}
    head = git(("rev-parse", "-q", "--verify", "HEAD"), env=env, check=False)
    _same_base(changes, head.text if head.code == 0 else None)
    withheld = tuple(entry for entry in changes.staged if entry.path in hidden and entry.mode in _FILES)
    staged = tuple(entry for entry in changes.staged if entry not in withheld) if withheld else changes.staged
    _import_blobs(changes, staged, env)
    _stage(staged, env)
    try:
        _write_files(changes, workspace)
    except OSError as problem:
        raise EnvironmentFailed(
            f"bringing changes into {workspace}: {problem}", remedy="see the reason given; is the disk full?"
        ) from problem
    if changes.intended:
        names = b"\0".join(changes.intended)
        options = ("--intent-to-add", "--force", "--pathspec-from-file=-", "--pathspec-file-nul")
        git(("add", *options), doing="bringing the index along", cwd=workspace, env=env, input=names)
    tree.give(workspace, uid, gid)
    git(("update-index", "-q", "--refresh"), cwd=workspace, env=env, check=False)
    if os.geteuid() == 0 and (workspace / ".git" / "index").exists():  # without a commit, and nothing staged, there is none
        os.chown(workspace / ".git" / "index", uid, gid, follow_symlinks=False)
    return tuple(entry.path for entry in withheld)


def snapshot(changes: ChangeSet, folder: Path) -> ChangeSet:
    """The same changes with their bytes copied into ``folder``: the user may go on in his checkout. What is staged stays where it is.

    Raises:
        UsageError: a file has changed since it was captured.
        EnvironmentFailed: the disk is full.
    """
    kept = replace(changes, root=folder)
    try:
        _write_files(changes, folder)
    except OSError as problem:
        raise EnvironmentFailed(f"keeping changes in {folder}: {problem}", remedy="see the reason given; is the disk full?") from problem
    return kept


def _import_blobs(changes: ChangeSet, staged: Sequence[Staged], env: dict[str, str]) -> None:
    """Content that only the user's index knows goes into the clone as one pack."""
    oids = sorted({entry.oid for entry in staged if entry.mode not in ("000000", "160000")})
    if not oids:
        return
    doing = "bringing staged content along"
    with tempfile.TemporaryFile() as pack:
        wanted = "".join(f"{oid}\n" for oid in oids).encode()
        git(
            ("pack-objects", "--stdout", "-q"),
            doing=doing,
            git_dir=changes.git_dir,
            cwd=changes.root,
            input=wanted,
            output=pack,
            trusted=True,
            deadline_s=IMPORT_DEADLINE_S,
        )
        pack.seek(0)
        git(("index-pack", "--stdin"), doing=doing, env=env, input=pack, deadline_s=IMPORT_DEADLINE_S)


def _stage(staged: Sequence[Staged], env: dict[str, str]) -> None:
    """Removals first: a file cannot be entered where a folder of the index still is."""
    entries = sorted(staged, key=lambda entry: entry.mode != "000000")
    if not entries:
        return
    empty = "0" * len(entries[0].oid)
    lines = (
        f"{0 if entry.mode == '000000' else entry.mode} {empty if entry.mode == '000000' else entry.oid}\t".encode() + entry.path
        for entry in entries
    )
    git(("update-index", "--add", "-z", "--index-info"), doing="bringing the index along", env=env, input=b"\0".join(lines) + b"\0")


def _write_files(changes: ChangeSet, workspace: Path) -> None:
    present = [entry for entry in changes.files if entry.kind != "gone"]
    with tree.opened(changes.root) as source, tree.opened(workspace) as target:
        for entry in changes.files:
            if entry.kind == "gone":
                tree.remove(target, entry.path)
        for entry in present:
            if entry.kind == "symlink":
                tree.write_link(target, entry.path, _link(source, entry))
            else:
                tree.write_file(target, entry.path, _verified(source, entry), executable=entry.kind == "executable")


def _link(root: int, entry: Carried) -> bytes:
    try:
        target = tree.read_link(root, entry.path)
    except OSError as problem:
        raise _moved(entry) from problem
    if hashlib.sha256(target).hexdigest() != entry.content:
        raise _moved(entry)
    return target


def _verified(root: int, entry: Carried) -> Iterator[bytes]:
    seen = hashlib.sha256()
    try:
        for chunk in tree.read_chunks(root, entry.path):
            seen.update(chunk)
            yield chunk
    except OSError as problem:
        raise _moved(entry) from problem
    if seen.hexdigest() != entry.content:
        raise _moved(entry)


def _moved(entry: Carried) -> UsageError:
    return UsageError(
        f"{os.fsdecode(entry.path)!r} changed while it was brought along",
        remedy="nothing was started; try again, and leave the files alone until the run has begun",
        code="changes-moved",
    )
