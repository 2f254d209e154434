"""Repositories in the repository. What ``.gitmodules`` says is the repository's wish, judged here row by row.

Preferred source: the user's own copy of a submodule that he initialised himself, when it has the commit; of it nothing but that commit is
taken. Else the URL, through a mirror of its own and with the user's rights. A URL that means a folder of this machine is never fetched: the
repository could name any of the user's others. A name or a path that leads out of its place is refused. A submodule that cannot be had
becomes a note: its folder stays empty, as after a clone without submodules.
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.errors import AienvError, EnvironmentFailed, PolicyRefused
from orchestrator.model.plan import RepoPlan
from orchestrator.repos import mirror as mirrors
from orchestrator.repos.contents import TreeEntry, commit_of, refs_of
from orchestrator.repos.gitcmd import git
from orchestrator.repos.local import LocalRepo
from orchestrator.repos.mirror import Mirror
from orchestrator.repos.place import ADVICE, Filled, Place, populate
from orchestrator.repos.source import Source, folder_name, parse_source, relative_location

DEPTH_MAX = 8
COUNT_MAX = 200
GITMODULES_MAX_BYTES = 256 * 1024
OWN_SUFFIX = "-own"  # the key of a mirror that holds single commits of a user's copy, beside the one of all its branches
_NAME = re.compile(r"[^\x00-\x1f\x7f\\:\"]{1,200}")


@dataclass(frozen=True, slots=True)
class Wish:
    """One submodule as ``.gitmodules`` names it, and the commit that the tree holds."""

    name: str
    path: str
    url: str
    commit: str


@dataclass(frozen=True, slots=True)
class Parts:
    """The places that were filled, outer ones first, and notes on those that were not."""

    places: tuple[tuple[Place, Filled], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Context:
    """Where a repository came from: ``source`` for relative URLs and credentials, ``local`` where the user has it himself."""

    source: Source | None
    local: LocalRepo | None
    run_id: str | None
    with_lfs: bool
    required: bool
    depth: int


def fill(top: Place, entries: Sequence[TreeEntry], plan: RepoPlan, local: LocalRepo | None, run_id: str | None, *, required: bool) -> Parts:
    """Fill the submodules of ``top``, and theirs."""
    links = [entry for entry in entries if entry.mode == "160000"]
    if not links:
        return Parts((), ())
    if not plan.submodules:
        return Parts((), (f"{len(links)} submodules left empty, as was wished",))
    source = _origin_of(local) if local else top.mirror.source or parse_source(plan.location, Path("/"))
    return _fill(top, entries, Context(source, local, run_id, plan.lfs, required, 1))


def _origin_of(local: LocalRepo) -> Source | None:
    """To what a path's relative submodule URLs are relative: its remote ``origin``, else itself, as git has it."""
    url = local.run("config", "--get", "remote.origin.url", check=False).text
    try:
        return parse_source(url, local.root) if url else local.source
    except AienvError:
        return None


def _fill(parent: Place, entries: Sequence[TreeEntry], context: Context) -> Parts:
    wishes, notes = read_wishes(parent.mirror.git_dir, entries)
    places: list[tuple[Place, Filled]] = []
    for wish in wishes:
        if len(places) >= COUNT_MAX or context.depth > DEPTH_MAX:
            notes.append(f"submodule {wish.path!r} left empty: more than {COUNT_MAX} submodules or {DEPTH_MAX} levels")
            continue
        try:
            place, content, inner = _one(parent, wish, context)
        except AienvError as problem:
            if context.required:
                raise
            notes.append(f"submodule {os.path.join(parent.path, wish.path)!r} left empty: {problem.message}")
            continue
        deeper = _fill(place, content.entries, inner) if any(entry.mode == "160000" for entry in content.entries) else Parts((), ())
        places += [(place, content), *deeper.places]
        notes += [*content.notes, *deeper.notes]
    return Parts(tuple(places), tuple(notes))


def _one(parent: Place, wish: Wish, context: Context) -> tuple[Place, Filled, Context]:
    work_tree = _real_folder(parent.work_tree, wish.path)
    mirror, local = _find(wish, context, parent.mirror.root)
    place = Place(os.path.join(parent.path, wish.path), parent.git_dir / "modules" / wish.name, work_tree, mirror)
    if context.run_id is not None:
        mirrors.keep(mirror, context.run_id)
    inside = os.path.relpath(place.git_dir, work_tree)
    config = ADVICE + f'[core]\n\tworktree = "{_quoted(os.path.relpath(work_tree, place.git_dir))}"\n'
    refs = tuple(
        (name.replace("refs/heads/", "refs/remotes/origin/", 1), oid)
        for name, oid in refs_of(mirror.git_dir)
        if not name.startswith("refs/remotes/")
    )
    content = populate(place, wish.commit, None, refs, local, with_lfs=context.with_lfs, config=config)
    (work_tree / ".git").write_bytes(os.fsencode(f"gitdir: {inside}\n"))
    with (parent.git_dir / "config").open("ab") as file:
        file.write(os.fsencode(f'[submodule "{_quoted(wish.name)}"]\n\tactive = true\n'))
    source = _origin_of(local) if local else mirror.source
    return place, content, replace(context, source=source, local=local, depth=context.depth + 1)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _real_folder(work_tree: Path, path: str) -> Path:
    """The empty folder that the checkout made for a submodule, reached without symlinks."""
    folder = work_tree / path
    if os.path.realpath(folder) != os.path.join(os.path.realpath(work_tree), path) or not folder.is_dir() or any(folder.iterdir()):
        raise PolicyRefused(f"its folder {path!r} is not an empty folder of the checkout", remedy="correct the repository")
    return folder


# -- what is wished ------------------------------------------------------------------------------------------------------------------------


def read_wishes(git_dir: Path, entries: Sequence[TreeEntry]) -> tuple[list[Wish], list[str]]:
    """The submodules of a tree that are named soundly, and notes on the others."""
    listed = [entry for entry in entries if entry.path == b".gitmodules" and entry.mode in ("100644", "100755")]
    links = {os.fsdecode(entry.path): entry.oid for entry in entries if entry.mode == "160000"}
    if not listed or (listed[0].size or 0) > GITMODULES_MAX_BYTES:
        return [], [f"{len(links)} submodules left empty: there is no .gitmodules of a sound size"]
    answer = git(("config", "--blob", listed[0].oid, "--null", "--list"), git_dir=git_dir, check=False)
    if answer.code != 0:
        return [], [f"{len(links)} submodules left empty: .gitmodules cannot be read"]
    return judge(sections(answer.stdout), links)


def sections(listing: bytes) -> dict[str, dict[str, str]]:
    """``git config --null --list`` as {submodule name: {key: value}}; of a key that is given twice, the first counts."""
    found: dict[str, dict[str, str]] = {}
    for record in listing.split(b"\0"):
        key, _, value = os.fsdecode(record).partition("\n")
        section, _, rest = key.partition(".")
        name, _, variable = rest.rpartition(".")
        if section == "submodule" and name:
            found.setdefault(name, {}).setdefault(variable, value)
    return found


def judge(named: dict[str, dict[str, str]], links: dict[str, str]) -> tuple[list[Wish], list[str]]:
    """Match names with the tree's links; refuse what could land in another's place."""
    wishes: list[Wish] = []
    notes: list[str] = []
    by_path = {values["path"]: name for name, values in reversed(named.items()) if "path" in values}
    for path, commit in sorted(links.items()):
        name = by_path.get(path)
        url = named[name].get("url") if name is not None else None
        if name is None or not url:
            notes.append(f"submodule {path!r} left empty: .gitmodules does not say where it comes from")
        elif reason := unsound(name, (wish.name for wish in wishes)):
            notes.append(f"submodule {path!r} left empty: its name {name!r} {reason}")
        else:
            wishes.append(Wish(name, path, url, commit))
    return wishes, notes


def unsound(name: str, others: Iterable[str]) -> str | None:
    """Why ``name`` cannot become a folder below ``.git/modules``; None when it can."""
    parts = name.split("/")
    if not _NAME.fullmatch(name) or name.startswith("-") or any(part in ("", ".", "..") for part in parts):
        return "is not usable as a folder"
    folded = name.casefold()
    for other in (other.casefold() for other in others):
        if folded == other or folded.startswith(f"{other}/") or other.startswith(f"{folded}/"):
            return "would share the git folder of another"
    return None


# -- where it comes from -------------------------------------------------------------------------------------------------------------------


def _find(wish: Wish, context: Context, root: Path) -> tuple[Mirror, LocalRepo | None]:
    """The mirror that has the wished commit, and the user's own copy where it came from there."""
    own = _own_copy(wish, context)
    if own is not None:
        return _mirror_of_own(own, wish, root), own
    source = _source(wish.url, context.source)
    if source.kind == "path":
        raise PolicyRefused(
            f"its URL is a path on this machine, and no copy that you initialised has the commit {wish.commit[:12]}",
            remedy="fetch it in your own checkout first: git submodule sync && git submodule update --init",
            code="submodule-path",
        )
    mirror = Mirror(root, source.key, source)
    if mirrors.state_of(mirror) is None or commit_of(mirror.git_dir, wish.commit) is None:
        mirrors.refresh(mirror)
    if commit_of(mirror.git_dir, wish.commit) is None and mirrors.fetch_exact(mirror, wish.commit) is None:
        raise EnvironmentFailed(f"{source.location} does not have the commit {wish.commit[:12]}", remedy="push it there")
    return mirror, None


def _mirror_of_own(own: LocalRepo, wish: Wish, root: Path) -> Mirror:
    """A mirror of nothing but what was wished for: the other branches of the user's copy are not the repository's to see."""
    mirror = Mirror(root, f"{own.source.key}{OWN_SUFFIX}", own.source)
    mirrors.make_empty(mirror, own.object_format)
    if commit_of(mirror.git_dir, wish.commit) is None and mirrors.fetch_exact(mirror, wish.commit) is None:
        raise EnvironmentFailed(f"the commit {wish.commit[:12]} of {own.root} could not be read", remedy="check it with 'git fsck' there")
    return mirror


def _own_copy(wish: Wish, context: Context) -> LocalRepo | None:
    """The user's copy of a submodule that he initialised: in his git folder (of this worktree, or of all), or in its own place."""
    local = context.local
    if local is None or not _initialised(wish, local, context.source):
        return None
    absorbed = (local.git_dir / "modules" / wish.name, local.common_dir / "modules" / wish.name)
    work_tree = local.root / wish.path
    for folder in (*absorbed, *((work_tree / ".git",) if _is_own_link(wish, local) else ())):
        if os.path.realpath(folder) == str(folder) and (folder / "objects").is_dir() and _has(folder, wish.commit):
            return LocalRepo(work_tree if work_tree.is_dir() else folder, folder, folder, False, local.object_format)
    return None


def _initialised(wish: Wish, local: LocalRepo, parent: Source | None) -> bool:
    """Whether the user's configuration knows the submodule; one whose URL means a folder of this machine, with that very folder."""
    configured = local.run("config", "--local", "--get", f"submodule.{wish.name}.url", check=False)
    if configured.code != 0 or not configured.text:
        return False
    try:
        asked = _source(wish.url, parent)
        known = parse_source(configured.text, local.root)
    except AienvError:
        return False
    return asked.kind != "path" or (known.kind == "path" and os.path.realpath(known.location) == os.path.realpath(asked.location))


def _is_own_link(wish: Wish, local: LocalRepo) -> bool:
    """Whether the place in the user's work tree is a submodule of his own index, and no symlink leads there."""
    place = local.root / wish.path
    if local.bare or os.path.realpath(place) != str(place):
        return False
    listed = local.run("ls-files", "--stage", "-z", "--", wish.path, check=False).stdout
    return listed.startswith(b"160000 ") and listed.rstrip(b"\0").endswith(b"\t" + os.fsencode(wish.path))


def _has(git_dir: Path, commit: str) -> bool:
    return git(("cat-file", "-e", f"{commit}^{{commit}}"), git_dir=git_dir, cwd=git_dir, trusted=True, check=False).code == 0


def _source(url: str, parent: Source | None) -> Source:
    """``url`` of .gitmodules as a source; one of the kind "path" is for comparing only.

    Raises:
        PolicyRefused: it is relative to nothing.
        UsageError: it has no form that we take.
    """
    if url.startswith(("./", "../")) or url in (".", ".."):
        if parent is None:
            raise PolicyRefused(f"its URL {url!r} is relative to a repository without an address", remedy="give it a whole URL")
        location = relative_location(parent.location, url)
        return Source(parent.kind, location, folder_name(location), parent.credentials)
    source = parse_source(url, Path("/"))
    same_server = parent is not None and parent.origin is not None and parent.origin == source.origin
    return replace(source, credentials=parent.credentials) if same_server and parent and not source.credentials else source
