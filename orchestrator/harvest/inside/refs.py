"""Refs of the agent's under names that the host takes; and which of them have a whole history."""

from collections.abc import Iterable, Sequence

from orchestrator.harvest.inside.repo import Ref, Repo
from orchestrator.harvest.inside.words import Trouble, group_of, show, unique
from orchestrator.harvest.inside.worktree import masked_base, worktree_alone

REFS = 2_000  # in one bundle; further tips become parents of one commit
BUNCH = 500  # parents of one such commit


def save_refs(repo: Repo) -> None:
    """Refs ``head``, ``stash/N``, ``heads/``, ``tags/`` and ``other/``."""
    if repo.head is not None and repo.head != repo.base:
        name = f"HEAD ({show(repo.found.head_name)})" if repo.found.head_name else "HEAD (detached)"
        repo.add("head", repo.head, name)
    for number, oid in enumerate(repo.found.stash):
        if repo.kind(oid) == "commit":
            repo.add(f"stash/{number}", oid, f"stash@{{{number}}}: {repo.found.spoken.get(oid, '')}")
        else:
            repo.damage(f"stash@{{{number}}} cannot be read")
    _named_refs(repo)


def _named_refs(repo: Repo) -> None:
    foreign = {oid for name, oid in repo.found.refs.items() if not name.startswith((b"refs/heads/", b"refs/stash"))}
    known = repo.in_mirror(foreign)
    taken: set[str] = set()
    folders: set[str] = set()
    names: list[Ref] = []
    for name, oid in sorted(repo.found.refs.items()):
        begun = not repo.where and repo.config.known_refs.get(name) == oid
        if begun or name == b"refs/stash" or oid == repo.base or (oid in known and not name.startswith(b"refs/heads/")):
            continue
        if repo.kind(oid) is None:
            repo.damage(f"ref {show(name)} names {oid}, which cannot be read")
            continue
        if repo.kind(oid) != "commit" and f"{oid}^{{commit}}" not in repo.known:
            continue  # a ref to a file or a folder: brought out with the loose ends
        names.append(Ref(unique(group_of(name), taken, folders), oid, show(name)))
    if len(names) > REFS:
        repo.damage(f"{len(names)} refs: their names stay in the raw copy, their commits are parents of lost/bunch commits")
        bunch(repo, [ref.oid for ref in names if repo.kind(ref.oid) == "commit"])
    else:
        repo.refs.extend(names)


def bunch(repo: Repo, tips: Iterable[str]) -> None:
    """Refs ``lost/bunch-N``: commits of ours that have the tips as parents."""
    tree = repo.git.add(b"tree", b"")
    distinct = sorted(set(tips))
    for start in range(0, len(distinct), BUNCH):
        number = sum(ref.name.startswith("lost/bunch-") for ref in repo.refs)
        repo.add(f"lost/bunch-{number}", repo.commit(tree, distinct[start : start + BUNCH], "Many tips"), f"{len(distinct)} tips")


def check_refs(repo: Repo) -> set[str]:
    """Drop refs whose history is not whole; what all others need, as a set of objects."""
    try:
        return repo.git.reachable((ref.oid for ref in repo.refs), repo.hosts) if repo.refs else set()
    except Trouble as problem:
        repo.damage(f"history is damaged: {problem}")
    whole = sound(repo, sorted({ref.oid for ref in repo.refs}), [100])
    drop(repo, whole)
    return repo.git.reachable((ref.oid for ref in repo.refs), repo.hosts) if repo.refs else set()


def drop(repo: Repo, whole: set[str]) -> None:
    """Keep only refs to ``whole`` objects, and a work tree in any case."""
    lost_worktree = repo.worktree is not None and repo.worktree not in whole
    for ref in repo.refs:
        if ref.oid not in whole and ref.name != "worktree":
            repo.damage(f"{ref.name} ({ref.origin}) at {ref.oid} is not whole and stays in the raw copy")
    repo.refs = [ref for ref in repo.refs if ref.oid in whole]
    if repo.head is not None and repo.head not in whole and repo.head != repo.base:
        repo.found = repo.found._replace(head=None)
    if lost_worktree:
        worktree_alone(repo, {}, masked_base(repo))


def sound(repo: Repo, tips: Sequence[str], tries: list[int]) -> set[str]:
    """Those of ``tips`` whose history is whole, found by halving in as many tries as ``tries[0]`` says."""
    if not tips or tries[0] <= 0:
        return set()
    tries[0] -= 1
    try:
        repo.git.reachable(tips, repo.hosts)
        return set(tips)
    except Trouble:
        if len(tips) == 1:
            return set()
    half = len(tips) // 2
    return sound(repo, tips[:half], tries) | sound(repo, tips[half:], tries)
