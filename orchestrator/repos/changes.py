"""Uncommitted work: reading it out of the user's checkout without touching it.

The user's index is never written: git works on a copy of it. No filter of any configuration runs; where git would need one to tell whether
a file changed, the file's own bytes are carried. What is read is described by digests, so that a later look (``carry.apply``) either brings
the same bytes or fails.
"""

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.repos import tree
from orchestrator.repos.carry import apply, check
from orchestrator.repos.changeset import Carried, ChangeSet, Staged, describe, shown
from orchestrator.repos.gitcmd import git
from orchestrator.repos.lfs import POINTER_MAX_BYTES, parse_pointer
from orchestrator.repos.local import LocalRepo, locate
from orchestrator.repos.scratch import scratch
from orchestrator.repos.source import Source

__all__ = ["ChangeSet", "apply", "capture", "check"]

READ_DEADLINE_S = 300.0
CARRIED_MAX_BYTES = 2 * 1024**3
IN_PROGRESS = {
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "BISECT_LOG": "a bisection",
}


def capture(source: Source, *, max_bytes: int = CARRIED_MAX_BYTES) -> ChangeSet:
    """What is not committed in the checkout at or around a path: staged, unstaged and untracked, without what is ignored.

    Raises:
        NotFound: there is no repository.
        UsageError: it is a URL or bare, has unresolved conflicts, or the changes are larger than ``max_bytes``.
    """
    if source.kind != "path":
        raise UsageError(f"{source.location} is remote, so there are no changes to bring along", remedy="leave --with-changes out")
    repo = locate(Path(source.location))
    if repo.bare:
        raise UsageError(f"{repo.root} has no work tree, so there are no changes to bring along", remedy="leave --with-changes out")
    with _index_copy(repo) as reader:
        _refuse_conflicts(reader)
        reader.refresh()
        _, base = repo.head()
        staged = _staged(reader, base)
        unstaged, intended, moved = _unstaged(reader)
        untracked, nested = _untracked(reader)
        paths = {entry.path for entry in staged if entry.mode != "160000"} | unstaged.keys() | set(untracked)
        with tree.opened(repo.root) as root:
            described = _described(root, sorted(paths), max_bytes, repo.root)
            files = tuple(entry for entry in described if not _is_pointer_content(reader, entry, unstaged, staged))
        warnings = (*_unfinished(repo), *nested, *_submodule_warnings(reader, moved, staged))
    return ChangeSet(repo.root, repo.git_dir, base, staged, intended, files, warnings)


# -- asking git ----------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Reader:
    repo: LocalRepo
    index: Path
    config: tuple[tuple[str, str], ...]

    def ask(self, *args: str | bytes, check: bool = True) -> list[bytes]:
        """A plumbing command's NUL-separated records."""
        answer = git(
            args,
            doing=f"reading the changes in {self.repo.root}",
            cwd=self.repo.root,
            git_dir=self.repo.git_dir,
            work_tree=self.repo.root,
            env={"GIT_INDEX_FILE": str(self.index)},
            config=self.config,
            check=check,
            deadline_s=READ_DEADLINE_S,
            trusted=True,
        )
        return [record for record in answer.stdout.split(b"\0") if record]

    def refresh(self) -> None:
        """Let git look into files that were touched but not changed. It ends with 1 when one did change, which is no failure."""
        self.ask("update-index", "-q", "--refresh", "--ignore-submodules", check=False)


@contextmanager
def _index_copy(repo: LocalRepo) -> Iterator[_Reader]:
    """A reader with a copy of the index. The copy keeps the time: git compares it with the files' times to know which it must look into."""
    with scratch("index") as folder:
        copy = folder / "index"
        if (repo.git_dir / "index").exists():
            shutil.copy2(repo.git_dir / "index", copy)
        yield _Reader(repo, copy, no_filters(repo.git_dir, repo.root))


def no_filters(git_dir: Path, root: Path) -> tuple[tuple[str, str], ...]:
    """Configuration that empties every filter that any configuration of the user or the repository defines."""
    listed = git(("config", "--null", "--name-only", "--get-regexp", r"^filter\."), git_dir=git_dir, cwd=root, trusted=True, check=False)
    names = {key.split(".", 1)[1].rpartition(".")[0] for key in listed.stdout.decode("utf-8", "surrogateescape").split("\0") if "." in key}
    off = (("clean", ""), ("smudge", ""), ("process", ""), ("required", "false"))
    return tuple((f"filter.{name}.{variable}", value) for name in sorted(names) for variable, value in off)


def _refuse_conflicts(reader: _Reader) -> None:
    if conflicts := reader.ask("ls-files", "--unmerged", "-z"):
        paths = sorted({record.partition(b"\t")[2] for record in conflicts})
        raise UsageError(
            f"{reader.repo.root} has unresolved conflicts in {len(paths)} files, for example {shown(paths[0])!r}",
            remedy="resolve them (or git merge --abort), or leave --with-changes out",
            code="conflicts",
        )


def _raw(records: Sequence[bytes]) -> Iterator[tuple[str, str, str, str, bytes]]:
    """(old mode, new mode, new oid, status, path) of ``git diff-* --raw -z``."""
    for facts, path in zip(records[0::2], records[1::2], strict=True):
        old, new, _, oid, status = facts.decode().removeprefix(":").split(" ")
        yield old, new, oid, status[0], path


def _staged(reader: _Reader, base: str | None) -> tuple[Staged, ...]:
    against = base or git(("hash-object", "-t", "tree", "--stdin"), git_dir=reader.repo.git_dir, input=b"").text
    options = ("--cached", "--raw", "-z", "--no-renames", "--no-abbrev", "--ita-invisible-in-index", "--ignore-submodules=dirty")
    found = (Staged(path, new, oid) for _, new, oid, _, path in _raw(reader.ask("diff-index", *options, against, "--")))
    return tuple(sorted(found, key=lambda entry: entry.path))


def _unstaged(reader: _Reader) -> tuple[dict[bytes, str], tuple[bytes, ...], tuple[bytes, ...]]:
    """({path: mode in the index}, paths added with -N, submodules at another commit)."""
    options = ("--raw", "-z", "--no-renames", "--no-abbrev", "--ita-invisible-in-index", "--ignore-submodules=dirty")
    changed: dict[bytes, str] = {}
    intended, moved = [], []
    for old, new, _, status, path in _raw(reader.ask("diff-files", *options)):
        if "160000" in (old, new):
            moved.append(path)
            continue
        if status == "A":
            intended.append(path)
        changed[path] = old
    return changed, tuple(sorted(intended)), tuple(sorted(moved))


def _untracked(reader: _Reader) -> tuple[list[bytes], tuple[str, ...]]:
    """(paths, warnings): a folder that is a repository of its own is named with a slash at its end."""
    listed = reader.ask("ls-files", "--others", "--exclude-standard", "-z")
    nested = [path for path in listed if path.endswith(b"/")]
    warnings = tuple(f"the repository {shown(path)!r} inside the work tree is not brought along" for path in nested)
    return [path for path in listed if not path.endswith(b"/")], warnings


# -- describing files ----------------------------------------------------------------------------------------------------------------------


def _described(root: int, paths: Sequence[bytes], max_bytes: int, folder: Path) -> tuple[Carried, ...]:
    found, total = [], 0
    for path in paths:
        status = tree.status_of(root, path)
        total += status.st_size if status and stat.S_ISREG(status.st_mode) else 0
        if total > max_bytes:
            raise UsageError(
                f"the changes in {folder} exceed {max_bytes // 1024**2} MiB, at {shown(path)!r}",
                remedy="ignore what is generated (.gitignore), or commit what is meant",
            )
        try:
            entry = describe(root, path)
        except OSError as problem:
            raise UsageError(
                f"{shown(path)!r} in {folder} cannot be read: {problem.strerror or problem}", remedy="make it readable, or ignore it"
            ) from None
        if entry is not None:
            found.append(entry)
    return tuple(found)


def _is_pointer_content(reader: _Reader, entry: Carried, unstaged: dict[bytes, str], staged: tuple[Staged, ...]) -> bool:
    """Whether a file only looks changed because git was not allowed to ask LFS: it is what the pointer in the index says."""
    mode = {"file": "100644", "executable": "100755"}.get(entry.kind)
    if mode is None or unstaged.get(entry.path) != mode or any(item.path == entry.path for item in staged):
        return False
    records = reader.ask("ls-files", "--stage", "-z", "--", entry.path)
    oid = records[0].split(b" ")[1].decode()
    size = git(("cat-file", "-s", oid), git_dir=reader.repo.git_dir, cwd=reader.repo.root, trusted=True, check=False)
    if size.code != 0 or int(size.text) >= POINTER_MAX_BYTES:
        return False
    blob = git(("cat-file", "blob", oid), git_dir=reader.repo.git_dir, cwd=reader.repo.root, trusted=True).stdout
    return parse_pointer(blob) == (entry.content, entry.size)


# -- what stays behind ---------------------------------------------------------------------------------------------------------------------


def _unfinished(repo: LocalRepo) -> tuple[str, ...]:
    return tuple(
        f"{what} is in progress in {repo.root}; the files are brought along, that state is not"
        for name, what in IN_PROGRESS.items()
        if (repo.git_dir / name).exists()
    )


def _submodule_warnings(reader: _Reader, moved: Sequence[bytes], staged: Sequence[Staged]) -> tuple[str, ...]:
    at_other = {*moved, *(entry.path for entry in staged if entry.mode == "160000")}
    warnings = [f"submodule {shown(path)!r} is at another commit than HEAD says; that is not brought along" for path in sorted(at_other)]
    for record in reader.ask("ls-files", "--stage", "-z"):
        facts, _, path = record.partition(b"\t")
        if facts.startswith(b"160000 ") and _dirty(reader.repo.root / os.fsdecode(path)):
            warnings.append(f"submodule {shown(path)!r} has uncommitted changes; they are not brought along")
    return tuple(warnings)


def _dirty(folder: Path) -> bool:
    if not (folder / ".git").exists():
        return False
    repo = locate(folder)
    if repo.bare or repo.root != Path(os.path.realpath(folder)):
        return False
    with _index_copy(repo) as reader:
        reader.refresh()
        _, base = repo.head()
        return bool(reader.ask("diff-files", "--raw", "-z", "--ignore-submodules=dirty") or _staged(reader, base) or _untracked(reader)[0])
