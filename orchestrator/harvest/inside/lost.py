"""Loose ends: everything in the agent's own object folders that no ref leads to, as refs ``lost/N`` and ``lost/objects``."""

import re
from collections.abc import Iterable, Mapping

from orchestrator.harvest.inside.objects import empty_object, header_of, objects_in, parse_tree
from orchestrator.harvest.inside.refs import REFS, bunch, sound
from orchestrator.harvest.inside.repo import Repo
from orchestrator.harvest.inside.words import Trouble, holdable


def save_lost(repo: Repo, covered: set[str]) -> None:
    """Refs ``lost/N`` and ``lost/objects``: everything in the agent's own object folders that no ref above leads to."""
    if repo.linked:
        return
    own: set[str] = set()
    for store in repo.shadows:
        own |= objects_in(store, repo.git.width)
    left = own - covered - {empty_object(b"blob", repo.git.width), empty_object(b"tree", repo.git.width)}
    left -= repo.in_mirror(left)
    if left and repo.base:
        left -= repo.git.reachable([repo.base], []) if len(left) > 1000 or not repo.config.objects else set()
    if not left:
        return
    info = repo.git.check(left)
    if len(info) < len(left):
        repo.damage(f"{len(left) - len(info)} loose objects cannot be read")
    left = _lost_commits(repo, {oid: kind for oid, (_, kind) in info.items()})
    _lost_objects(repo, left, info)


def _lost_commits(repo: Repo, kinds: Mapping[str, str]) -> set[str]:
    """Name the tips among unreachable commits and tags; what remains unreached."""
    named = [oid for oid, kind in kinds.items() if kind in ("commit", "tag")]
    texts = repo.git.contents(named)
    if len(texts) < len(named):
        repo.damage(f"{len(named) - len(texts)} loose commits cannot be read")
    inner = {
        word for text in texts.values() for word in re.findall(r"^(?:parent|object) ([0-9a-f]{40,64})$", header_of(text), re.MULTILINE)
    }
    tips = sorted(oid for oid in texts if oid not in inner)
    tips = sorted(sound(repo, tips, [200])) if tips else []
    reached = repo.git.reachable(tips, repo.hosts) if tips else set()
    commits = [oid for oid in texts if oid not in reached]
    if commits:
        repo.damage(f"{len(commits)} loose commits are not whole and stay in the raw copy")
    ordered = sorted(tips, key=lambda oid: (oid not in repo.found.spoken, oid))
    for number, oid in enumerate(ordered[:REFS]):
        repo.add(f"lost/{number}", oid, repo.found.spoken.get(oid, "unreachable"))
    bunch(repo, (oid for oid in ordered[REFS:] if kinds[oid] == "commit"))
    return {oid for oid in kinds if oid not in reached}


def _lost_objects(repo: Repo, left: set[str], info: Mapping[str, tuple[str, str]]) -> None:
    trees = repo.git.contents(oid for oid in left if info[oid][1] == "tree")
    inner: set[str] = set()
    fit: list[str] = []
    for oid, data in trees.items():
        try:
            lines = list(parse_tree(data, repo.git.width))
        except Trouble:
            continue
        inner.update(child for _, _, child in lines)
        if all(holdable(name) for _, name, _ in lines):
            fit.append(oid)
    tops = sorted(sound(repo, sorted(oid for oid in fit if oid not in inner), [200]))
    reached = repo.git.reachable(tops, []) if tops else set()
    blobs = sorted(oid for oid in left if info[oid][1] == "blob" and oid not in reached)
    if any(oid not in reached for oid in trees):
        repo.damage("some loose folders are not whole and stay in the raw copy")
    items = []
    if blobs:
        items.append(b"40000 blobs\0" + bytes.fromhex(_flat(repo, b"100644", blobs)))
    if tops:
        items.append(b"40000 trees\0" + bytes.fromhex(_flat(repo, b"40000", tops)))
    if items:
        tree = repo.git.add(b"tree", b"".join(items))
        repo.add(
            "lost/objects",
            repo.commit(tree, [], "Files and folders that nothing refers to"),
            f"{len(blobs)} files, {len(tops)} folders",
        )


def _flat(repo: Repo, mode: bytes, oids: Iterable[str]) -> str:
    return repo.git.add(b"tree", b"".join(mode + b" " + oid.encode() + b"\0" + bytes.fromhex(oid) for oid in oids))
