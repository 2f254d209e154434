"""The project's secrets stay masked in containers that mount it: over each masked file lies an empty one.

For a guard that stands alone, where the project is the user's own folder; in a run's workspace masked files are emptied themselves.
What is masked is settled at launch, by what the files are (device and inode): the agent can move the folder that a secret lies in. What
appears later and merely has such a name was made by the agent, and hides nothing from it.

Limits that no mount can lift: a folder with a secret in it, moved into a folder that a running container has mounted, is seen there (a
secret that lies directly in the project's root cannot be moved by who has it masked, since a mount point is not renamed). And where
parts of the project are mounted as ``subpath``, a part can be swapped for a link to another one just before a start.
"""

import contextlib
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from orchestrator.guard.beneath import Identity, identity_of, open_below
from orchestrator.guard.calls import BindAsk, Denied, Object, Session, deny
from orchestrator.guard.mounts import below_root, inside_path
from orchestrator.model.task import SandboxRules
from orchestrator.sandbox.masks import masked_paths

MAX_ENTRIES = 2_000_000
MAX_DEPTH = 200
MAX_MASKS = 512
TRIES = 5


@dataclass(frozen=True, slots=True)
class Secrets:
    """The masked files of one map. ``paths``: below its root, where they were at launch: who edits a file often puts a new one there."""

    files: frozenset[Identity] = frozenset()
    paths: frozenset[str] = frozenset()


class _TooMuch(Exception):
    """A folder is too large or too deep to be searched."""


def secrets_of(root: str, rules: SandboxRules) -> Secrets:
    """What ``rules`` mask below ``root``; for the time before the agent runs.

    Raises:
        OSError: a folder cannot be read. Denied: there is too much to look at.
    """
    try:
        found = dict(_files(root, ""))
    except _TooMuch as problem:
        raise deny("mounts.masked", f"the project cannot be searched for secrets: {problem}") from None
    paths = masked_paths(found, rules)
    files = {found[path] for path in paths}
    for path in paths:
        with contextlib.suppress(OSError):
            files.add(identity_of(os.stat(os.path.join(root, path))))  # what a link leads to is the secret, not the link
    return Secrets(frozenset(files), frozenset(paths))


def masks_for(ask: BindAsk, session: Session, secrets: Secrets, empty: str, targets: Collection[str] = ()) -> tuple[Object, ...]:
    """Entries of HostConfig.Mounts that lay the file ``empty`` over each secret in the source of ``ask``, where it is now.

    ``empty``: an empty file of the guard, as the daemon sees it. ``targets``: of all mounts of the container; what another mount
    covers needs no mask.

    Raises:
        Denied: the source is a secret itself, or cannot be searched.
    """
    found = _secrets_in(ask, session, secrets)
    if len(found) > MAX_MASKS:
        raise _unsearchable(ask, session, f"more than {MAX_MASKS} files")
    places = [f"{ask.target}/{path}" for path in found]
    return tuple(_mask(place, empty) for place in places if not _is_covered(place, ask.target, targets))


def check_masks(ask: BindAsk, session: Session, secrets: Secrets, mounted: Collection[str], targets: Collection[str] = ()) -> None:
    """Before a start or restart: every secret in the source lies under a mask that was mounted when the container was made.

    ``mounted``: the targets of those masks. A file that must be masked only because it stands in an old place counts, too.

    Raises:
        Denied: one lies elsewhere now.
    """
    for path in _secrets_in(ask, session, secrets):
        place = f"{ask.target}/{path}"
        if place not in mounted and not _is_covered(place, ask.target, targets):
            reason = f"a masked file has been moved to {path!r} in {inside_path(ask, session)!r} since the container was made"
            raise deny("mounts.masked", reason, field="HostConfig", allowed="a container that is made anew")


def _secrets_in(ask: BindAsk, session: Session, secrets: Secrets) -> Sequence[str]:
    """Paths below the source, sorted."""
    if not secrets.files and not secrets.paths:
        return ()
    try:
        found = _settled(session.maps[ask.map].host, ask.path, secrets)
    except (OSError, _TooMuch) as problem:
        raise _unsearchable(ask, session, problem) from problem
    if "" in found:
        raise deny("mounts.masked", f"{inside_path(ask, session)!r} is masked", field="HostConfig", allowed="files that are not masked")
    if any(not _is_text(path) for path in found):
        raise _unsearchable(ask, session, "a masked file's path is not UTF-8")
    return found


def _settled(root: str, path: str, secrets: Secrets) -> Sequence[str]:
    """A project changes while it is searched: a folder that has just gone is no reason to refuse."""
    for _ in range(TRIES - 1):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return sorted(_search(root, path, secrets))
    return sorted(_search(root, path, secrets))


def _search(root: str, path: str, secrets: Secrets) -> Iterator[str]:
    inodes = {inode for _, inode in secrets.files}
    for below, identity in _files(root, path, inodes, secrets.paths):
        whole = f"{path}/{below}" if path and below else path or below
        if identity in secrets.files or whole in secrets.paths:
            yield below


def _is_covered(place: str, target: str, targets: Collection[str]) -> bool:
    """Whether another mount of the container hides what would be at ``place``."""
    return any(one != target and below_root(one, target) and below_root(place, one) is not None for one in targets)


def _mask(place: str, empty: str) -> Object:
    options: Object = {"Propagation": "rprivate", "NonRecursive": True}
    return {"Type": "bind", "Source": empty, "Target": place, "ReadOnly": True, "BindOptions": options}


def _unsearchable(ask: BindAsk, session: Session, problem: object) -> Denied:
    reason = f"{inside_path(ask, session)!r} cannot be searched for masked files: {problem}"
    return deny("mounts.masked", reason, field="HostConfig", allowed="a folder that can be read")


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


# --- walking -------------------------------------------------------------------------------------------------------------------


def _files(root: str, path: str, inodes: Collection[int] | None = None, paths: Collection[str] = ()) -> Iterator[tuple[str, Identity]]:
    """Each file below ``path``, relative to it, and what it is; ``path`` itself if it is one (as the empty path).

    Links are not followed. ``inodes``, ``paths``: look only at entries with one of these; to ask for each costs ten times the time.
    """
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        source = open_below(top, path)
    finally:
        os.close(top)
    try:
        facts = os.fstat(source)
        if not os.path.isdir(f"/proc/self/fd/{source}"):
            yield "", identity_of(facts)
            return
        here = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=source)
    finally:
        os.close(source)
    wanted = {one.removeprefix(f"{path}/") if path else one for one in paths}
    yield from _walk(here, "", inodes, wanted, [MAX_ENTRIES], 0)


def _walk(
    here: int, prefix: str, inodes: Collection[int] | None, paths: Collection[str], left: list[int], depth: int
) -> Iterator[tuple[str, Identity]]:
    """Closes ``here``. Folders are opened below their parent's descriptor, so a rename meanwhile leads nowhere else."""
    try:
        folders: list[str] = []
        with os.scandir(here) as entries:
            for entry in entries:
                left[0] -= 1
                if left[0] < 0:
                    raise _TooMuch(f"more than {MAX_ENTRIES} files")
                path = f"{prefix}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif inodes is None or ((entry.inode() in inodes or path in paths) and not entry.is_symlink()):
                    yield path, identity_of(entry.stat(follow_symlinks=False))
        if folders and depth >= MAX_DEPTH:
            raise _TooMuch(f"folders deeper than {MAX_DEPTH}")
        for name in folders:
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            yield from _walk(below, f"{prefix}{name}/", inodes, paths, left, depth + 1)
    finally:
        os.close(here)
