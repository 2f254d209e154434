"""The files on disk as trees: the work tree's (every file is hashed; what no one has is stored), and ignored ones apart."""

import os
import stat
from collections.abc import Mapping

from orchestrator.harvest.inside.conversion import by_the_rules, points_to
from orchestrator.harvest.inside.files import FILE, LINK, git_folder_of, kind_at
from orchestrator.harvest.inside.gitfolder import head_of
from orchestrator.harvest.inside.index import GITLINK, Entry, mode_of
from orchestrator.harvest.inside.objects import object_name
from orchestrator.harvest.inside.repo import Repo
from orchestrator.harvest.inside.words import below, show

BIG_BYTES = 8 * 1024 * 1024  # above it, a look at the length comes before the hash
POINTER_BYTES = 1024  # git-lfs takes nothing longer for a pointer


def snapshot(repo: Repo, chosen: Mapping[bytes, Entry], ignored: Mapping[bytes, bytes]) -> dict[bytes, tuple[int, str]]:
    """The tree that the files on disk stand for. The time stamps of the index are the agent's to forge, so they prove nothing."""
    tree: dict[bytes, tuple[int, str]] = {}
    tracked: dict[bytes, os.stat_result] = {}
    dirty: dict[bytes, os.stat_result] = {}
    special, files = set(repo.disk.special), repo.disk.files
    for path, entry in chosen.items():
        if below(path, repo.masked):
            continue
        if entry.mode == GITLINK:
            tree |= _gitlink(repo, entry)
            continue
        kind = files.get(path) or (kind_at(repo.root or b"", path) if below(path, repo.disk.nested) else None)
        if kind in (FILE, LINK):
            facts = repo.facts(path)
            if facts is None:
                tree[path] = (entry.mode, entry.oid)
            else:
                tracked[path] = facts
        elif (kind is None and path not in special and (entry.absent_ok or below(path, repo.disk.closed))) or _kept_aside(repo, path):
            tree[path] = (entry.mode, entry.oid)
    same = _unchanged(repo, tracked, chosen)
    tree |= {path: (mode_of(tracked[path]), chosen[path].oid) for path in same}
    dirty |= {path: facts for path, facts in tracked.items() if path not in same}
    for path in files:
        if path not in chosen and path not in ignored and not below(path, repo.masked):
            facts = repo.facts(path)
            if facts is not None:
                dirty[path] = facts
    return tree | _stored(repo, _affordable(repo, dirty), chosen)


def _unchanged(repo: Repo, tracked: Mapping[bytes, os.stat_result], chosen: Mapping[bytes, Entry]) -> set[bytes]:
    """Files whose bytes are those of the object that the index names, or whose large contents are those that it points to."""
    sizes = repo.git.sizes({chosen[path].oid for path, facts in tracked.items() if facts.st_size > BIG_BYTES or repo.config.lfs})
    candidates, same = [], set()
    for path, facts in tracked.items():
        oid = chosen[path].oid
        if stat.S_ISLNK(facts.st_mode):
            target = os.readlink((repo.root or b"") + b"/" + path)
            if mode_of(facts) == chosen[path].mode and object_name(b"blob", target, repo.git.width) == oid:
                same.add(path)
        elif oid not in sizes or sizes[oid] == facts.st_size:
            candidates.append(path)
    oids = repo.hash_files(sorted(candidates), store=False)
    same.update(path for path in candidates if oids.get(path) == chosen[path].oid)
    left = {path: facts for path, facts in tracked.items() if path not in same}
    return same | _same_lfs(repo, left, chosen, sizes)


def _same_lfs(repo: Repo, tracked: Mapping[bytes, os.stat_result], chosen: Mapping[bytes, Entry], sizes: Mapping[str, int]) -> set[bytes]:
    """Files that are what a pointer of the base's says: the host has them. A pointer of the agent's may be all that is left of a file."""
    if not repo.config.lfs or repo.base is None:
        return set()
    old = repo.git.listed(repo.base)
    kept = {
        path: oid
        for path, facts in tracked.items()
        if stat.S_ISREG(facts.st_mode) and old.get(path, (0, ""))[1] == (oid := chosen[path].oid)
    }
    pointers = {path: oid for path, oid in kept.items() if sizes.get(oid, POINTER_BYTES) < POINTER_BYTES}
    texts = repo.git.contents(pointers.values())
    return {path for path, oid in pointers.items() if points_to(texts.get(oid, b""), (repo.root or b"") + b"/" + path)}


def _kept_aside(repo: Repo, path: bytes) -> bool:
    """A tracked name that now is something git cannot hold: the old entry stays, the new thing is in salvage.tar."""
    return below(path, repo.disk.odd)


def _affordable(repo: Repo, dirty: dict[bytes, os.stat_result]) -> dict[bytes, os.stat_result]:
    """As many of the changed files as the limits allow, the small ones first."""
    limits, total = repo.config.limits, 0
    if len(dirty) <= limits.files and sum(facts.st_size for facts in dirty.values()) <= limits.bundle_bytes:
        return dirty
    kept: dict[bytes, os.stat_result] = {}
    left: list[bytes] = []
    for path, facts in sorted(dirty.items(), key=lambda item: (item[1].st_size, item[0])):
        if len(kept) < limits.files and total + facts.st_size <= limits.bundle_bytes:
            kept[path] = facts
            total += facts.st_size
        else:
            left.append(path)
    repo.job.incomplete(f"{len(left)} files are beyond the limits and stay in the workspace, among them {show(left[-1])}")
    return kept


def _stored(repo: Repo, dirty: Mapping[bytes, os.stat_result], chosen: Mapping[bytes, Entry]) -> dict[bytes, tuple[int, str]]:
    root = repo.root or b""
    regular = sorted(path for path, facts in dirty.items() if stat.S_ISREG(facts.st_mode))
    oids = repo.hash_files(regular)
    for path, facts in dirty.items():
        if stat.S_ISLNK(facts.st_mode):
            oids[path] = repo.git.add(b"blob", os.readlink(root + b"/" + path))
    changed = {path: oids[path] for path in regular if path in oids and (path not in chosen or chosen[path].oid != oids[path])}
    oids |= by_the_rules(repo, changed, chosen)
    stored = {path: (mode_of(facts), oids[path]) for path, facts in dirty.items() if path in oids}
    return stored | {path: (chosen[path].mode, chosen[path].oid) for path in dirty if path not in oids and path in chosen}


def _gitlink(repo: Repo, entry: Entry) -> dict[bytes, tuple[int, str]]:
    """A submodule at the commit that it is at; one that was never filled is unchanged; one without a folder is deleted."""
    place = (repo.root or b"") + b"/" + entry.path
    if not os.path.isdir(place) or os.path.islink(place):
        return {}
    folder = git_folder_of(place)
    head = head_of(folder) if folder is not None else None
    return {entry.path: (GITLINK, head if head and len(head) == 2 * repo.git.width else entry.oid)}


def ignored_files(repo: Repo, chosen: Mapping[bytes, Entry], staged: Mapping[bytes, tuple[int, str]]) -> dict[bytes, bytes]:
    """path -> the ignored folder or file that it belongs to, for all untracked files that the repository ignores."""
    if all(path in chosen for path in repo.disk.files):
        return {}
    if any(path.endswith((b".gitignore", b"/.git/HEAD")) for path in repo.disk.special):
        repo.note("a .gitignore or a HEAD is no regular file, so git may not look: nothing counts as ignored")
        return {}
    listing = repo.git.run(
        "ls-files", "-z", "-o", "-i", "--exclude-standard", "--directory", tree=repo.root, index=repo.git.index_file(staged)
    )
    named = {path for path in listing.split(b"\0") if path}
    owners: dict[bytes, bytes | None] = {b"": None}

    def owner(folder: bytes) -> bytes | None:
        unknown = []  # not by recursion: an agent's folders may lie deeper than Python goes down
        above = folder
        while above not in owners:
            unknown.append(above)
            above = above.rpartition(b"/")[0]
        for one in reversed(unknown):
            owners[one] = owners[one.rpartition(b"/")[0]] or (one + b"/" if one + b"/" in named else None)
        return owners[folder]

    ignored = {}
    for path in repo.disk.files:
        if path not in chosen and not below(path, repo.masked):
            group = path if path in named else owner(path.rpartition(b"/")[0])
            if group is not None:
                ignored[path] = group
    return ignored


def save_ignored(repo: Repo, ignored: Mapping[bytes, bytes]) -> None:
    """Ignored files up to the limit, small groups first; the rest is named."""
    groups: dict[bytes, list[bytes]] = {}
    for path, group in ignored.items():
        groups.setdefault(group, []).append(path)
    sizes = {group: sum(_size(repo, path) for path in paths) for group, paths in groups.items()}
    left_bytes, left_files = repo.config.limits.ignored_bytes, repo.config.limits.files
    taken: list[bytes] = []
    for group in sorted(groups, key=lambda one: (sizes[one], one)):
        if sizes[group] > left_bytes or len(groups[group]) > left_files:
            repo.note(f"ignored and not brought out: {show(group)} ({len(groups[group])} files, {sizes[group]} bytes)")
            continue
        left_bytes -= sizes[group]
        left_files -= len(groups[group])
        taken.extend(groups[group])
    facts = {path: facts for path in taken if (facts := repo.facts(path)) is not None}
    if facts:
        tree = {path: (mode_of(facts[path]), oid) for path, oid in _raw_objects(repo, facts).items()}
        repo.add("ignored", repo.commit(repo.git.tree(tree), [], "Ignored files"), "ignored files")


def _raw_objects(repo: Repo, facts: Mapping[bytes, os.stat_result]) -> dict[bytes, str]:
    oids = repo.hash_files(sorted(path for path in facts if stat.S_ISREG(facts[path].st_mode)))
    links = (path for path in facts if stat.S_ISLNK(facts[path].st_mode))
    return oids | {path: repo.git.add(b"blob", os.readlink((repo.root or b"") + b"/" + path)) for path in links}


def _size(repo: Repo, path: bytes) -> int:
    try:
        return os.lstat((repo.root or b"") + b"/" + path).st_size
    except OSError:
        return 0
