"""The result in the user's own tree: shown as a patch, or staged on top of whatever the user has there.

Nothing of the user's is ever lost: the merge is made in an index of its own first, and the tree is touched only when all of it fits.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from orchestrator.errors import AienvError, HarvestFailed, NotFound
from orchestrator.harvest.obstacles import first_obstacle, parse_changes, parse_modes
from orchestrator.harvest.receive import PATCH, parse_raw_diff
from orchestrator.model.record import ChangedFile
from orchestrator.repos.gitcmd import GitResult, git
from orchestrator.repos.scratch import scratch

CALM: tuple[tuple[str, str], ...] = (("apply.whitespace", "nowarn"), ("core.logAllRefUpdates", "false"), ("apply.ignoreWhitespace", "no"))
_COLOURS: tuple[tuple[bytes, bytes], ...] = (
    (b"diff ", b"\x1b[1m"),
    (b"index ", b"\x1b[1m"),
    (b"--- ", b"\x1b[1m"),
    (b"+++ ", b"\x1b[1m"),
    (b"@@", b"\x1b[36m"),
    (b"+", b"\x1b[32m"),
    (b"-", b"\x1b[31m"),
)
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")  # the second form: C1 controls in UTF-8


@dataclass(frozen=True, slots=True)
class Applied:
    """``files``: what is now staged, with what it was staged over; empty when the tree had it all already."""

    files: tuple[ChangedFile, ...]


def apply(run_dir: Path, user_repo: Path, *, branch: str | None = None) -> Applied:
    """Stage the result of a run in the user's tree, merged three ways with what is staged there.

    Raises:
        NotFound: the run changed nothing, or its patch was too large to be written.
        HarvestFailed: it does not fit; then nothing in the tree or the index has changed.
    """
    patch = run_dir / PATCH
    if not patch.exists():
        raise NotFound(f"there is no {PATCH} in {run_dir}", remedy=_branch_remedy(branch))
    top = Path(_ask(user_repo, "rev-parse", "--show-toplevel"))
    before = _tree(top, None, "the index has unmerged files", "finish or abort the merge that is under way first")
    with scratch("apply") as folder:
        index = {"GIT_INDEX_FILE": str(folder / "index")}
        _git(top, "read-tree", before, env=index)
        merged = _git(top, "apply", "--cached", "--3way", "--whitespace=nowarn", "--", str(patch), env=index, check=False)
        if merged.code != 0:
            _git(top, "read-tree", before, env=index)
            if _git(top, "apply", "--cached", "--check", "--reverse", "--", str(patch), env=index, check=False).code == 0:
                return Applied(())  # it is all there already
            raise conflict(merged.stderr, branch)
        after = _tree(top, index, "the result conflicts with what is staged", _branch_remedy(branch))
    raw = _git(top, "diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", before, after).stdout
    changed, _ = parse_raw_diff(raw)
    if changed:
        _refuse_obstacles(top, raw, before, branch)
        # Both refuse, before they touch anything, when a file to be changed has unstaged work in it.
        for dry in (("-n",), ()):
            done = _git(top, "read-tree", *dry, "-m", "-u", before, after, check=False)
            if done.code != 0:
                raise conflict(done.stderr, branch)
    return Applied(changed)


def _refuse_obstacles(top: Path, raw: bytes, before: str, branch: str | None) -> None:
    """Nothing that git does not keep may stand where the result goes: git would overwrite what is ignored."""
    tracked = parse_modes(_git(top, "ls-tree", "-r", "-z", "--full-tree", before).stdout)
    found = first_obstacle(top, parse_changes(raw), tracked)
    if found is not None:
        path, why = found
        # A merge in the user's own shell would overwrite what is ignored, too.
        remedy = f"move it away first, then apply again: git merge would replace it; {_kept(branch)}"
        raise misfit(f"{path.decode('utf-8', 'backslashreplace')!r} {why}", remedy)


def conflict(said: str, branch: str | None) -> HarvestFailed:
    lines = [line.removeprefix("error: ") for line in said.splitlines() if line.startswith(("error:", "U ")) or "conflicts" in line]
    shown = _CONTROL.sub(b"?", "; ".join(lines[:5]).encode("utf-8", "replace")).decode("utf-8", "replace") or "git gave no reason"
    return misfit(shown, _branch_remedy(branch))


def misfit(reason: str, remedy: str) -> HarvestFailed:
    return HarvestFailed(f"the result does not fit your tree, so nothing was changed: {reason}", remedy=remedy, code="conflict")


def _branch_remedy(branch: str | None) -> str:
    return f"{_kept(branch)}: git merge {branch}" if branch else _kept(branch)


def _kept(branch: str | None) -> str:
    return f"the result stays as branch {branch}" if branch else "see aienv show for where the result is"


def _tree(top: Path, env: dict[str, str] | None, problem: str, remedy: str) -> str:
    done = _git(top, "write-tree", env=env, check=False)
    if done.code != 0:
        raise HarvestFailed(f"{problem}, so nothing was changed: {done.stderr.strip()[:300]}", remedy=remedy, code="conflict")
    return done.text


def _git(top: Path, *args: str, env: dict[str, str] | None = None, check: bool = True) -> GitResult:
    return git(args, cwd=top, env=env, config=CALM, trusted=True, check=check, doing=f"applying to {top}")


def _ask(user_repo: Path, *args: str) -> str:
    try:
        return git(args, cwd=user_repo, trusted=True, doing=f"looking at {user_repo}").text
    except AienvError as problem:
        raise HarvestFailed(
            f"{user_repo} has no work tree to apply to: {problem.message}", remedy="name the folder of a checkout"
        ) from problem


def diff(run_dir: Path, sink: IO[bytes], *, colour: bool = False) -> bool:
    """Write the result's patch to ``sink``; False when there is none.

    With ``colour`` the reader is a terminal: control characters, with which a patch could steer it, become question marks.
    """
    try:
        file = (run_dir / PATCH).open("rb")
    except FileNotFoundError:
        return False
    with file:
        if colour:
            for line in coloured(file):
                sink.write(line)
        else:
            while chunk := file.read(1024 * 1024):
                sink.write(chunk)
    return True


def coloured(lines: IO[bytes]) -> Iterator[bytes]:
    """A patch for a terminal, line by line."""
    for line in lines:
        text = _CONTROL.sub(b"?", line.rstrip(b"\n"))
        code = next((code for start, code in _COLOURS if text.startswith(start)), b"")
        yield code + text + (b"\x1b[0m\n" if code else b"\n")
