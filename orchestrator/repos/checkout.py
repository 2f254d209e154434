"""The run's own clone: made for one run, thrown away with it.

It has its own ``.git`` without templates, hooks, remote or credentials, and borrows its objects from the mirror, see ``place``. Nobody else
can write in the folder before the run starts.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import EnvironmentFailed, NotFound
from orchestrator.model.plan import RepoPlan
from orchestrator.repos import mirror as mirrors
from orchestrator.repos import submodules, tree
from orchestrator.repos.contents import commit_of, refs_of
from orchestrator.repos.failures import ObjectsDamaged
from orchestrator.repos.local import LocalRepo, locate
from orchestrator.repos.mirror import Mirror
from orchestrator.repos.place import Place, borrow_inside, populate, settle


@dataclass(frozen=True, slots=True)
class Submodule:
    """A submodule that was filled. ``path`` is relative to the workspace, ``git_dir`` too."""

    path: str
    git_dir: str
    commit: str
    mirror: str


@dataclass(frozen=True, slots=True)
class Checkout:
    """The clone. ``objects``: (name, host folder), to appear read-only at ``/run/aienv/objects/<name>``.

    ``refs``: what the clone has besides HEAD, as (full name, object id): what harvest need not bring back. ``lfs_files``: pointers that
    were replaced by content. ``notes``: what a reader of the report should know.
    """

    workspace: Path
    objects: tuple[tuple[str, Path], ...]
    refs: tuple[tuple[str, str], ...]
    submodules: tuple[Submodule, ...]
    lfs_files: tuple[str, ...]
    notes: tuple[str, ...]


def make(
    mirror: Mirror,
    plan: RepoPlan,
    workspace: Path,
    uid: int,
    gid: int,
    *,
    run_id: str | None = None,
    require_submodules: bool = False,
) -> Checkout:
    """Clone ``plan`` into the folder ``workspace``, which is new or empty, for the agent's ``uid`` and ``gid``.

    The undo is to remove the folder, then ``mirror.release(root, run_id)``; register it before. The mirrors of submodules are marked as in
    use by ``run_id``, as the caller has marked ``mirror``. A damaged mirror is made anew once.

    Raises:
        EnvironmentFailed: git refuses to check the commit out (a hostile path), the folder is in use, the disk is full.
        ObjectsDamaged: objects are missing, also in the source.
        AienvError: a submodule could not be had, and ``require_submodules`` is set.
    """
    if workspace.exists() and any(workspace.iterdir()):
        raise EnvironmentFailed(f"the workspace {workspace} is not empty", remedy="remove it: aienv gc")
    try:
        return _make(mirror, plan, workspace, uid, gid, run_id, require_submodules)
    except OSError as problem:
        raise EnvironmentFailed(f"making the workspace {workspace}: {problem}", remedy="see the reason; is the disk full?") from problem
    except ObjectsDamaged:
        if mirror.source is None:
            raise
        tree.remove_tree(workspace)
        mirrors.rebuild(mirror)
        if plan.commit and commit_of(mirror.git_dir, plan.commit) is None:
            mirrors.fetch_exact(mirror, plan.commit)
        return _make(mirror, plan, workspace, uid, gid, run_id, require_submodules)


def _make(mirror: Mirror, plan: RepoPlan, workspace: Path, uid: int, gid: int, run_id: str | None, require_submodules: bool) -> Checkout:
    local = _local(plan)
    top = Place("", workspace / ".git", workspace, mirror)
    refs = _refs(mirror, plan)
    workspace.mkdir(parents=True, exist_ok=True, mode=0o755)
    filled = populate(top, plan.commit, plan.branch, refs, local if plan.lfs else None, with_lfs=plan.lfs)
    parts = submodules.fill(top, filled.entries, plan, local, run_id, required=require_submodules)
    tree.give(workspace, uid, gid)
    places = ((top, filled), *parts.places)
    for place, content in places:
        settle(place, content.pointers)
    for place, _ in places:
        borrow_inside(place, uid, gid)
    return Checkout(
        workspace,
        tuple(sorted({place.mirror.key: place.mirror.objects for place, _ in places}.items())),
        refs,
        tuple(
            Submodule(place.path, str(place.git_dir.relative_to(workspace)), content.commit or "", place.mirror.key)
            for place, content in parts.places
        ),
        tuple(os.path.join(place.path, os.fsdecode(pointer.path)) for place, content in places for pointer in content.pointers),
        (*filled.notes, *parts.notes),
    )


def _local(plan: RepoPlan) -> LocalRepo | None:
    """The user's own repository, of which only submodules and large files are still wanted: without it they become notes."""
    if plan.kind != "path" or plan.commit is None or not (plan.submodules or plan.lfs):
        return None
    try:
        return locate(Path(plan.location))
    except NotFound:
        return None


def _refs(mirror: Mirror, plan: RepoPlan) -> tuple[tuple[str, str], ...]:
    """A path's branches stay what they are; a URL's branches are another's, so they become ``origin/*`` as in any clone."""
    refs: dict[str, str] = {}
    for name, oid in refs_of(mirror.git_dir):
        if plan.kind == "url":
            name = name.replace("refs/heads/", "refs/remotes/origin/", 1)
        if not (name.startswith("refs/remotes/") and name.endswith("/HEAD")):
            refs[name] = oid
    if plan.branch is not None:
        own = f"refs/heads/{plan.branch}"
        # The branch may have been made or removed since the plan: what cannot stand beside it gives way.
        refs = {
            name: oid for name, oid in refs.items() if not name.startswith(f"{own}/") and not own.startswith(f"{name}/") and name != own
        }
        if plan.commit is not None:
            refs[own] = plan.commit
    return tuple(sorted(refs.items()))
