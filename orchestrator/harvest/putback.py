"""A result back into the checkout that its run began from, uncommitted work of the user's included.

The run began with everything that lay there, so what differs between that state and the result is the agent's work alone, and it is put
into the files: the index stays as it is, what was staged stays staged, the agent's commits are on their branch. The state of the beginning
is kept as ``refs/aienv/<id>/before``, without the files that are hidden inside: those are secrets, and no run changes them. A file that the
agent changed must still be as it was; else nothing at all is touched.
"""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.harvest.apply import CALM, conflict, misfit
from orchestrator.harvest.deliver import OUR_REFS
from orchestrator.harvest.obstacles import first_obstacle, parse_changes, parse_modes
from orchestrator.harvest.receive import parse_raw_diff
from orchestrator.model.record import ChangedFile
from orchestrator.model.task import SandboxRules
from orchestrator.repos.changeset import ChangeSet
from orchestrator.repos.gitcmd import GitResult, git
from orchestrator.repos.scratch import scratch
from orchestrator.sandbox.masks import masked_paths

_US = {"GIT_AUTHOR_NAME": "aienv", "GIT_COMMITTER_NAME": "aienv"}
_AT = {"GIT_AUTHOR_EMAIL": "aienv@aienv.invalid", "GIT_COMMITTER_EMAIL": "aienv@aienv.invalid"}
_ABSENT = "000000"
_CALM = (*CALM, ("core.safecrlf", "false"))  # a line ending that git would change is no reason to keep nothing


@dataclass(frozen=True, slots=True)
class PutBack:
    """``files``: what changed in the work tree; ``stayed``: what the result does not have, and nobody ever committed: it is still there."""

    files: tuple[ChangedFile, ...]
    stayed: tuple[str, ...]


def before_ref(run_id: str) -> str:
    return f"{OUR_REFS}/{run_id}/before"


def remember(changes: ChangeSet, rules: SandboxRules, run_id: str) -> str:
    """Keep what lies in the work tree as a commit of ours; its id.

    Raises:
        AienvError: the repository cannot be written.
    """
    top = changes.root
    with scratch("before") as folder:
        index = {"GIT_INDEX_FILE": str(folder / "index")}
        _git(top, "read-tree", *((changes.base,) if changes.base else ("--empty",)), env=index)
        hidden = {os.fsencode(path) for path in masked_paths((os.fsdecode(entry.path) for entry in changes.files), rules)}
        names = b"".join(entry.path + b"\0" for entry in changes.files if entry.path not in hidden)
        _git(top, "update-index", "--add", "--remove", "--replace", "-z", "--stdin", env=index, stdin=names)
        tree = _git(top, "write-tree", env=index).text
    parent = ("-p", changes.base) if changes.base else ()
    commit = _git(top, "commit-tree", tree, *parent, "-m", f"the work tree as run {run_id} began", env=_US | _AT).text
    _git(top, "update-ref", before_ref(run_id), commit)
    return commit


def put_back(top: Path, base: str | None, before: str, result: str, branch: str | None) -> PutBack:
    """Bring the work tree from ``before``, which ``remember`` gave, to ``result``.

    Raises:
        HarvestFailed: a file is not as it was, or something stands in the way; then nothing was touched.
    """
    known = parse_modes(_git(top, "ls-tree", "-r", "-z", "--full-tree", base).stdout) if base else {}
    tracked = parse_modes(_git(top, "ls-tree", "-r", "-z", "--full-tree", before).stdout)
    changes = parse_changes(_diff(top, before, result))
    lost = [change.path for change in changes if change.new_mode == _ABSENT and change.path not in known]
    with scratch("putback") as folder:
        after = _with_entries(top, folder, result, before, frozenset(lost))
        raw = _diff(top, before, after)
        files, _ = parse_raw_diff(raw)
        if files:
            _replace(top, folder, before, after, raw, tracked, branch)
    return PutBack(files, tuple(sorted(map(os.fsdecode, lost))))


def _with_entries(top: Path, folder: Path, result: str, before: str, paths: Collection[bytes]) -> str:
    """The tree of ``result``, but at ``paths`` that of ``before``."""
    index = {"GIT_INDEX_FILE": str(folder / "after")}
    _git(top, "read-tree", result, env=index)
    if paths:
        listed = _git(top, "ls-tree", "-r", "-z", "--full-tree", before).stdout.split(b"\0")
        kept = [record for record in listed if record.partition(b"\t")[2] in paths]
        _git(top, "update-index", "--add", "--replace", "-z", "--index-info", env=index, stdin=b"".join(one + b"\0" for one in kept))
    return _git(top, "write-tree", env=index).text


def _replace(top: Path, folder: Path, before: str, after: str, raw: bytes, tracked: Mapping[bytes, str], branch: str | None) -> None:
    if (found := first_obstacle(top, parse_changes(raw), tracked)) is not None:
        remedy = f"move it away; the result stays as branch {branch}" if branch else "move it away"
        raise misfit(f"{found[0].decode('utf-8', 'backslashreplace')!r} {found[1]}", remedy)
    # An index of our own says which files are as they were; git itself refuses to touch any other.
    index = {"GIT_INDEX_FILE": str(folder / "before")}
    _git(top, "read-tree", before, env=index)
    _git(top, "update-index", "-q", "--refresh", env=index, check=False)
    for dry in (("-n",), ()):
        done = _git(top, "read-tree", *dry, "-m", "-u", before, after, env=index, check=False)
        if done.code != 0:
            raise conflict(done.stderr, branch)


def _diff(top: Path, old: str, new: str) -> bytes:
    return _git(top, "diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", old, new).stdout


def _git(top: Path, *args: str, env: dict[str, str] | None = None, stdin: bytes = b"", check: bool = True) -> GitResult:
    return git(args, cwd=top, env=env, input=stdin, config=_CALM, trusted=True, check=check, doing=f"putting the result into {top}")
