"""The work tree comes first: it is brought out even when everything below ``.git`` is broken."""

from collections.abc import Mapping, Sequence

from orchestrator.harvest.inside.conversion import save_lfs, save_raw
from orchestrator.harvest.inside.files import WALK_ENTRIES, read_file
from orchestrator.harvest.inside.index import INDEX_BYTES, Entry, choose, parse_index
from orchestrator.harvest.inside.repo import Repo
from orchestrator.harvest.inside.snapshot import ignored_files, save_ignored, snapshot
from orchestrator.harvest.inside.words import Trouble, below, holdable, plain_name, show


def save_worktree(repo: Repo) -> None:
    """Refs ``worktree``, ``index``, ``conflict/N``, ``raw``, ``ignored`` and ``lfs``, as far as there is something to hold."""
    if repo.root is None:
        return
    _tell_of_disk(repo)
    if b"" in repo.disk.closed:
        return  # not one file can be seen, and a commit would say that all are deleted; the host opens the folder and asks again
    entries = _staged(repo)
    chosen = choose(entries)
    for problem in [path for path in chosen if not holdable(path)]:
        repo.damage(f"the index holds the impossible path {show(problem)}")
        del chosen[problem]
    rest = masked_base(repo)
    staged = {path: (entry.mode, entry.oid) for path, entry in chosen.items() if not entry.planned and not below(path, repo.masked)} | rest
    ignored = ignored_files(repo, chosen, staged)
    try:
        tree = snapshot(repo, chosen, ignored) | rest
        _commit_worktree(repo, tree)
    except Trouble as problem:
        repo.damage(f"the work tree is read anew from the files alone: {problem}")
        worktree_alone(repo, ignored, rest)
        return
    _save_index(repo, staged, tree, entries)
    save_ignored(repo, ignored)
    save_lfs(repo)
    save_raw(repo)


def _tell_of_disk(repo: Repo) -> None:
    disk = repo.disk
    for path in disk.special:
        if not below(path, repo.masked):
            repo.note(f"{show(path)} is a pipe, socket or device and has no contents to bring out")
    for path in [*disk.odd, *disk.stray_git]:
        if not below(path, repo.masked):
            repo.job.salvage(repo.root or b"", path, repo.where)
            repo.note(f"{show(path)} cannot be held by git and lies in salvage.tar")
    for path in disk.closed:
        if not below(path, repo.masked):
            repo.job.unreadable_path(repo.where, path)
    if disk.cut:
        repo.job.incomplete(f"more than {WALK_ENTRIES} files: not all of them were looked at")


def _staged(repo: Repo) -> list[Entry]:
    """The agent's index, else what HEAD or the base holds."""
    path = repo.folder + b"/index" if repo.folder is not None else None
    if path is not None:
        try:
            data = read_file(path, INDEX_BYTES)
            if data is not None:
                return parse_index(data, repo.git.width)
        except Trouble as problem:
            repo.damage(str(problem))
    start = repo.head or repo.base
    if start is None:
        return []
    try:
        listed = repo.git.listed(start)
    except Trouble as problem:
        repo.damage(str(problem))
        listed = repo.git.listed(repo.base) if repo.base and repo.base != start else {}
    return [Entry(path, mode, oid, 0, False, False) for path, (mode, oid) in listed.items()]


def masked_base(repo: Repo) -> dict[bytes, tuple[int, str]]:
    """What the base has at the paths that the agent could not see: they keep it."""
    if not repo.masked or repo.base is None:
        return {}
    return {path: entry for path, entry in repo.git.listed(repo.base, repo.masked).items() if below(path, repo.masked)}


def _commit_worktree(repo: Repo, tree: Mapping[bytes, tuple[int, str]]) -> None:
    oid = repo.git.tree(tree)
    parent = repo.head or repo.base
    if parent is None and not tree:
        return
    if parent is None or oid != repo.tree_of(parent):
        repo.set_worktree(oid, parent)


def worktree_alone(repo: Repo, ignored: Mapping[bytes, bytes], rest: dict[bytes, tuple[int, str]]) -> None:
    """The files on disk on top of the base, with nothing taken from the agent's repository."""
    repo.git.borrow(repo.config.objects)
    try:
        tree = snapshot(repo, {}, ignored) | rest
        repo.set_worktree(repo.git.tree(tree), repo.base)
        repo.git.reachable([repo.worktree or ""], repo.hosts)
    except Trouble as problem:
        repo.job.incomplete(f"the files on disk cannot be brought out: {problem}")
    finally:
        repo.borrow()


def _save_index(
    repo: Repo, staged: Mapping[bytes, tuple[int, str]], tree: Mapping[bytes, tuple[int, str]], entries: Sequence[Entry]
) -> None:
    """What is staged, when it is neither the commit nor the files; and the sides of unmerged files."""
    parents = [parent] if (parent := repo.head or repo.base) else []
    try:
        if staged != tree:
            oid = repo.git.tree(staged)
            if oid != repo.worktree_tree and not (parents and oid == repo.tree_of(parents[0])):
                repo.add("index", repo.commit(oid, parents, f"Staged work of run {plain_name(repo.config.run_id)}"), "index")
        for stage in (1, 2, 3):
            side = {entry.path: (entry.mode, entry.oid) for entry in entries if entry.stage == stage and holdable(entry.path)}
            if side:
                repo.add(
                    f"conflict/{stage}",
                    repo.commit(repo.git.tree(side), parents, f"Unmerged files, stage {stage}"),
                    f"index, stage {stage}",
                )
    except Trouble as problem:
        repo.damage(f"the index cannot be brought out: {problem}")
