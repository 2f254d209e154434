"""From what the user named to one commit: locate, fetch, look the ref up."""

import difflib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from orchestrator.errors import EnvironmentFailed, NotFound, UsageError
from orchestrator.model.plan import ChangesPlan, RepoPlan
from orchestrator.repos import mirror as mirrors
from orchestrator.repos.contents import commit_of, refs_of
from orchestrator.repos.failures import RemoteUnreachable
from orchestrator.repos.local import LocalRepo, locate
from orchestrator.repos.mirror import FETCH_DEADLINE_S, Mirror, State
from orchestrator.repos.source import Source

_HEX = re.compile(r"[0-9a-f]{4,64}", re.IGNORECASE)
_FULL = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.IGNORECASE)
_STEPS = re.compile(r"(?P<base>.+?)(?P<steps>(?:[~^]\d{0,6})+)")
_UNUSABLE = re.compile(r"[\x00-\x20\x7f:?*\[\\]|\.\.|@\{|^-|//|/$|\.lock$")
NEAR_MAX = 5


@dataclass(frozen=True, slots=True)
class Resolved:
    """One commit of one repository.

    ``commit`` is None for a repository without commits. ``branch`` is what HEAD of a clone names; None: detached.
    ``location`` as in ``RepoPlan``.
    """

    kind: Literal["path", "url"]
    location: str
    name: str
    ref: str | None
    commit: str | None
    branch: str | None
    default_branch: str | None
    mirror: Mirror
    warnings: tuple[str, ...]

    def plan(self, *, changes: ChangesPlan | None, submodules: bool, lfs: bool) -> RepoPlan:
        """The repository's part of a ``Plan``."""
        return RepoPlan(self.kind, self.location, self.ref, self.commit, self.branch, self.mirror.key, self.name, changes, submodules, lfs)


def resolve(root: Path, source: Source, ref: str | None = None, *, deadline_s: float = FETCH_DEADLINE_S, offline: bool = False) -> Resolved:
    """Find ``ref`` in ``source``, with the mirrors below ``root``.

    ``ref``: branch, tag, commit (short or full), ``refs/...``, any of them with ``~n`` or ``^n``; None or HEAD: what the user has checked
    out (a path), or the default branch (a URL). ``offline``: a URL is not asked.

    Raises:
        NotFound: no such repository or ref; near names are in the remedy.
        UsageError: ``ref`` cannot be a ref.
        EnvironmentFailed: the source could not be fetched and the mirror does not have what is needed.
    """
    if ref is not None and (not ref or _UNUSABLE.search(ref)):
        raise UsageError(f"the ref {ref!r} is not a usable name", remedy="name a branch, a tag or a commit")
    wanted = None if ref in (None, "HEAD", "@") else ref
    try:
        if source.kind == "path":
            return _resolve_path(root, locate(Path(source.location)), wanted, deadline_s)
        return _resolve_url(root, source, wanted, deadline_s, offline)
    except OSError as problem:
        raise EnvironmentFailed(f"the mirrors in {root} cannot be used: {problem}", remedy="see the reason; is the disk full?") from problem


def _resolve_path(root: Path, repo: LocalRepo, ref: str | None, deadline_s: float) -> Resolved:
    mirror = Mirror(root, repo.source.key, repo.source)
    branch, commit = repo.head()
    state, warnings = mirrors.refresh(mirror, deadline_s=deadline_s)
    if ref is not None:
        found = _look_up(mirror, ref, (branch, commit), deadline_s, asked=True)
        commit, branch, warnings = found.commit, found.branch, (*warnings, *found.warnings)
    elif commit is not None and commit_of(mirror.git_dir, commit) is None:
        # A detached HEAD, or a commit made this moment: no ref that was fetched leads there.
        commit = mirrors.fetch_exact(mirror, commit, deadline_s=deadline_s)
        if commit is None:
            raise NotFound(f"HEAD of {repo.root} could not be read", remedy="check it with 'git fsck', then try again")
    name = repo.source.name
    return Resolved("path", str(repo.root), name, ref, commit, branch, _short(state.head), mirror, warnings)


def _resolve_url(root: Path, source: Source, ref: str | None, deadline_s: float, offline: bool) -> Resolved:
    mirror = Mirror(root, source.key, source)
    known = mirrors.state_of(mirror)
    warnings: tuple[str, ...] = ()
    asked = False
    if known is not None and ref is not None and _FULL.fullmatch(ref) and commit_of(mirror.git_dir, ref.lower()):
        state = known  # a commit never changes: nobody needs to be asked
    elif offline:
        state, warnings = _use_known(known, source, "not asked, as offline was wished")
    else:
        try:
            state, warnings = mirrors.refresh(mirror, deadline_s=deadline_s)
            asked = True
        except RemoteUnreachable as problem:
            if known is None:
                raise
            state, warnings = _use_known(known, source, problem.message)
    head = (_short(state.head), state.head_commit)
    found = _default(mirror, source, head) if ref is None else _look_up(mirror, ref, head, deadline_s, asked)
    warnings = (*warnings, *found.warnings)
    return Resolved("url", source.location, source.name, ref, found.commit, found.branch, _short(state.head), mirror, warnings)


def _use_known(known: State | None, source: Source, why: str) -> tuple[State, tuple[str, ...]]:
    if known is None:
        raise RemoteUnreachable(f"{source.location} was never fetched: {why}", remedy="fetch it once with a network")
    minutes = max(0, int(time.time() - known.fetched_at) // 60)
    return known, (f"using the copy of {source.location} fetched {minutes} min ago: {why}",)


def _short(head: str | None) -> str | None:
    return head.removeprefix("refs/heads/") if head else None


@dataclass(frozen=True, slots=True)
class Found:
    commit: str | None
    branch: str | None
    warnings: tuple[str, ...] = ()


def _default(mirror: Mirror, source: Source, head: tuple[str | None, str | None]) -> Found:
    branch, commit = head
    if commit is not None and commit_of(mirror.git_dir, commit):
        return Found(commit, branch)
    names = [name for name, _ in refs_of(mirror.git_dir)]
    if names:
        choices = ", ".join(_shown(names)[:NEAR_MAX])
        raise NotFound(f"HEAD of {source.location} names no branch that exists", remedy=f"choose one with --ref: {choices}")
    return Found(None, branch or "main")


def _look_up(mirror: Mirror, ref: str, head: tuple[str | None, str | None], deadline_s: float, asked: bool) -> Found:
    names = dict(refs_of(mirror.git_dir))
    found = _by_name(mirror, ref, names) or _by_commit(mirror, ref, deadline_s, asked)
    if found is None and ref.startswith("refs/") and asked:
        commit = mirrors.fetch_exact(mirror, ref, deadline_s=deadline_s)
        found = Found(commit, None) if commit else None
    if found is None and (match := _STEPS.fullmatch(ref)):
        at_head = match["base"] in ("HEAD", "@")
        base = Found(head[1], head[0]) if at_head else _look_up(mirror, match["base"], head, deadline_s, asked)
        commit = commit_of(mirror.git_dir, f"{base.commit}{match['steps']}") if base.commit else None
        found = replace(base, commit=commit, branch=None) if commit else None
    if found is None:
        raise NotFound(f"no branch, tag or commit {ref!r} in {_where(mirror)}", remedy=_near(ref, names))
    return found


def _by_name(mirror: Mirror, ref: str, names: Mapping[str, str]) -> Found | None:
    """Branches come before tags, as ``git clone --branch`` has it."""
    hits = [full for full in (f"refs/heads/{ref}", f"refs/tags/{ref}", f"refs/remotes/{ref}") if full in names]
    full = ref if ref in names else hits[0] if hits else None
    if full is None:
        return None
    commit = commit_of(mirror.git_dir, full)
    if commit is None:
        raise NotFound(f"{ref!r} in {_where(mirror)} names no commit", remedy="name a branch, or a tag of a commit")
    both = hits[:2] == [f"refs/heads/{ref}", f"refs/tags/{ref}"]
    warnings = (f"{ref!r} names a branch and a tag; the branch was taken",) if both else ()
    return Found(commit, full.removeprefix("refs/heads/") if full.startswith("refs/heads/") else None, warnings)


def _by_commit(mirror: Mirror, ref: str, deadline_s: float, asked: bool) -> Found | None:
    if not _HEX.fullmatch(ref):
        return None
    commit = commit_of(mirror.git_dir, ref.lower())
    if commit is None and asked and _FULL.fullmatch(ref):
        commit = mirrors.fetch_exact(mirror, ref.lower(), deadline_s=deadline_s)
    return Found(commit, None) if commit else None


def _where(mirror: Mirror) -> str:
    return mirror.source.location if mirror.source else mirror.key


def _shown(names: list[str]) -> list[str]:
    return [re.sub(r"^refs/(heads|tags|remotes)/", "", name) for name in names]


def _near(ref: str, names: Mapping[str, str]) -> str:
    shown = _shown(sorted(names)[:5000])
    near = difflib.get_close_matches(ref, shown, n=NEAR_MAX, cutoff=0.5) or [name for name in shown if name.endswith(f"/{ref}")][:NEAR_MAX]
    near = near or ([ref.removeprefix("origin/")] if ref.removeprefix("origin/") in shown else [])
    if near:
        return f"perhaps {', '.join(repr(name) for name in near)}?"
    return f"there is {', '.join(repr(name) for name in shown[:NEAR_MAX])}" if shown else "the repository has no branches yet"
