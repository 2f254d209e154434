"""Repositories inside the workspace: submodules, linked work trees, what the agent made; a bundle of its own for each."""

import os
import struct
from collections.abc import Iterator

from orchestrator.harvest.inside.bundle import bring_out
from orchestrator.harvest.inside.files import git_folder_of, is_git_folder
from orchestrator.harvest.inside.gitfolder import common_folder, head_of
from orchestrator.harvest.inside.index import GITLINK
from orchestrator.harvest.inside.job import NOTE_CHARS, Job
from orchestrator.harvest.inside.leftovers import Leftover
from orchestrator.harvest.inside.repo import Repo
from orchestrator.harvest.inside.salvage import keep_damaged
from orchestrator.harvest.inside.words import Trouble, show

NESTED = 100


def nested_repositories(job: Job, main: Repo) -> list[Leftover]:
    """A bundle for each repository below the work tree, then for submodules of which only the git folder is left; all that were read."""
    opened: list[Leftover] = []
    pending = [(b"", path) for path in main.disk.nested]
    visited = {main.folder, common_folder(main.folder) if main.folder else None}
    job.attempt("nested repositories", lambda: _visit(job, main, pending, visited, opened))
    modules = main.folder + b"/modules" if main.folder else b""
    for folder in list(module_folders(modules)) if modules and os.path.isdir(modules) else ():
        where = b".git" + folder[len(main.folder or b"") :]
        if folder not in visited and len(job.nested) >= NESTED:
            job.incomplete(f"{show(where)}: one of more than {NESTED} nested repositories, kept raw in salvage.tar")
        elif folder not in visited:
            visited.add(folder)
            _one_nested(job, main, None, folder, where, _begun_at(job, main, folder), False, opened)
    return opened


def _begun_at(job: Job, main: Repo, folder: bytes) -> str | None:
    """The commit at which a submodule that has lost its work tree was checked out: the one of the base's submodules that it holds."""
    links = {oid for mode, oid in main.git.listed(main.base).values() if mode == GITLINK} if main.base else set()
    head = head_of(folder)
    return head if head in links else None


def _visit(job: Job, main: Repo, pending: list[tuple[bytes, bytes]], visited: set[bytes | None], opened: list[Leftover]) -> None:
    bases = main.git.listed(main.base, [path for _, path in pending]) if main.base and pending else {}
    while pending:
        outer, path = pending.pop(0)
        where = outer + b"/" + path if outer else path
        if len(job.nested) >= NESTED:
            job.salvage(job.config.workspace, where, b"")
            job.note(f"{show(where)}: one of more than {NESTED} nested repositories, kept raw in salvage.tar")
            continue
        folder = git_folder_of(job.config.workspace + b"/" + where)
        linked = folder is not None and common_folder(folder) in visited
        visited.add(folder)
        base = bases[where][1] if where in bases and bases[where][0] == GITLINK else None
        repo = _one_nested(job, main, job.config.workspace + b"/" + where, folder, where, base, linked, opened)
        if repo is not None:
            pending.extend((where, inner) for inner in repo.disk.nested)


def _one_nested(
    job: Job,
    main: Repo,
    root: bytes | None,
    folder: bytes | None,
    where: bytes,
    base: str | None,
    linked: bool,
    opened: list[Leftover],
) -> Repo | None:
    if folder is None:
        return None
    number = b"%04d" % (len(job.nested) + 1)
    os.makedirs(job.config.outbox + b"/nested", exist_ok=True)
    known = base if base is not None and main.in_mirror([base]) else None
    try:
        repo = Repo(job, root, folder, known, where, job.scratch(), linked)
        written = bring_out(job, repo, job.config.outbox + b"/nested/" + number + b".bundle")
    except (Trouble, OSError, ValueError, struct.error) as problem:
        job.note(f"{show(where)}: kept raw in salvage.tar: {problem}")
        job.to_salvage.append((root if root is not None else folder, b"nested/" + number))
        job.nested.append({"path": show(where), "bundle": None, "note": f"kept raw: {problem}"[:NOTE_CHARS]})
        return None
    keep_damaged(job, repo, (root + b"/.git") if root is not None else folder, b"nested/" + number + b"/git")
    opened.append(Leftover(repo, b"nested/" + number + b"/git"))
    if base is not None and not written and not repo.hurt:
        return repo
    kind = (
        "submodule"
        if base is not None
        else "linked work tree"
        if linked
        else "made by the agent"
        if root is not None
        else "submodule without work tree"
    )
    tips = ", ".join(ref.name for ref in repo.refs[:8]) or "nothing"
    job.nested.append({"path": show(where), "bundle": f"nested/{number.decode()}.bundle" if written else None, "note": f"{kind}: {tips}"})
    return repo


def module_folders(root: bytes) -> Iterator[bytes]:
    """Git folders of submodules, at any depth that submodule names make."""
    pending = [(root, 0)]
    while pending:
        here, depth = pending.pop()
        for name in sorted(os.listdir(here)):
            path = here + b"/" + name
            if os.path.islink(path) or not os.path.isdir(path):
                continue
            if is_git_folder(path):
                yield path
                if os.path.isdir(path + b"/modules"):
                    pending.append((path + b"/modules", depth + 1))
            elif depth < 6:
                pending.append((path, depth + 1))
