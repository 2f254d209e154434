"""All of one repository into one bundle. One broken thing does not stop the rest: it is noted, and left to the raw copy."""

import os
import struct
import subprocess
from collections.abc import Callable
from typing import Any

from orchestrator.harvest.inside.job import Job
from orchestrator.harvest.inside.lost import save_lost
from orchestrator.harvest.inside.refs import check_refs, drop, save_refs
from orchestrator.harvest.inside.repo import Repo
from orchestrator.harvest.inside.words import Trouble
from orchestrator.harvest.inside.worktree import save_worktree

OUT = b"refs/aienv-out/"


def bring_out(job: Job, repo: Repo, path: bytes) -> bool:
    """Everything of one repository, in order; whether a bundle was written at ``path``."""

    def guarded(what: str, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except (Trouble, OSError, ValueError, struct.error) as problem:
            repo.damage(f"{what}: {problem}")
            return None

    job.attempt("the work tree", lambda: save_worktree(repo))
    guarded("refs", lambda: save_refs(repo))
    covered = guarded("history", lambda: check_refs(repo))
    guarded("loose ends", lambda: save_lost(repo, covered or set()))
    before = job.complete
    written = job.attempt(os.fsdecode(os.path.basename(path)), lambda: write_bundle(repo, path))
    if written is None and before and not job.complete:
        repo.refs = []
    return bool(written)


def write_bundle(repo: Repo, path: bytes) -> bool:
    """All refs as one bundle; False when the host has everything already.

    Raises:
        Trouble: not even the work tree can be packed, or the bundle is too large.
    """
    if not repo.refs or not _news(repo):
        return False
    try:
        _pack(repo, path)
    except Trouble as problem:
        repo.damage(f"objects are damaged: {problem}")
        drop(repo, {oid for oid in sorted({ref.oid for ref in repo.refs})[:200] if _packs(repo, oid)})
        if not repo.refs or not _news(repo):
            return False
        _pack_rest(repo, path)
    size = os.stat(path).st_size
    if size > repo.config.limits.bundle_bytes:
        os.unlink(path)
        raise Trouble(f"the bundle would have {size} bytes, more than {repo.config.limits.bundle_bytes}")
    return True


def _news(repo: Repo) -> bool:
    return bool(repo.git.reachable((ref.oid for ref in repo.refs), repo.hosts))


def _pack(repo: Repo, path: bytes) -> None:
    lines = sorted(f"{ref.oid} {OUT.decode()}{ref.name}\n" for ref in repo.refs)
    repo.git.write(b"packed-refs", "".join(lines).encode())
    repo.git.run("bundle", "create", "--quiet", path, "--all", *(f"^{oid}" for oid in repo.hosts))


def _packs(repo: Repo, oid: str) -> bool:
    asked = "".join((f"{oid}\n", *(f"^{one}\n" for one in repo.hosts))).encode()
    try:
        repo.git.run("pack-objects", "--revs", "--stdout", "--thin", "-q", stdin=asked, sink=subprocess.DEVNULL)
    except Trouble:
        return False
    return True


def _pack_rest(repo: Repo, path: bytes) -> None:
    try:
        _pack(repo, path)
    except Trouble:
        repo.refs = [ref for ref in repo.refs if ref.name == "worktree"]
        repo.git.borrow(repo.config.objects)
        _pack(repo, path)
