"""Large files: pointers in the commit, content beside it.

We put the content into the work tree ourselves. No filter runs: not the one that a repository's configuration defines, and not git-lfs,
which would write into the clone. git-lfs is asked for one thing only: to fetch objects of a URL into the mirror, from that URL's own server
(``.lfsconfig`` of the repository is not followed, for it could name any address that the user's machine can reach).
"""

import contextlib
import hashlib
import os
import re
import shlex
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import AienvError
from orchestrator.repos import tree
from orchestrator.repos.contents import TreeEntry, read_blobs
from orchestrator.repos.gitcmd import git
from orchestrator.repos.local import LocalRepo
from orchestrator.repos.mirror import Mirror
from orchestrator.repos.source import Source
from orchestrator.repos.transport import reach

POINTER_MAX_BYTES = 1024
FETCH_DEADLINE_S = 900.0
# Older than the index: git then trusts size and time, and does not ask a filter that may not exist inside.
AGE_S = 60.0
_POINTER = re.compile(
    rb"version https://(?:git-lfs\.github\.com|hawser\.github\.com)/spec/v1\n(?:ext-[^\n]*\n)*oid sha256:([0-9a-f]{64})\nsize (\d{1,18})\n?"
)


@dataclass(frozen=True, slots=True)
class Pointer:
    """A file of the commit that stands for ``size`` bytes with the SHA-256 ``oid``. ``text`` is the file in the commit, ``blob`` its id."""

    path: bytes
    executable: bool
    blob: str
    oid: str
    size: int
    text: bytes


def parse_pointer(data: bytes) -> tuple[str, int] | None:
    """(oid, size) of a pointer file; None for anything else. Extensions transform the content, so a pointer with one is none of ours."""
    match = _POINTER.fullmatch(data)
    return (match[1].decode(), int(match[2])) if match and b"\next-" not in data else None


def find_pointers(mirror: Mirror, git_dir: Path, env: dict[str, str], entries: Sequence[TreeEntry]) -> tuple[Pointer, ...]:
    """The pointers in a work tree's index that its attributes give to LFS."""
    if not any(entry.path.rpartition(b"/")[2] == b".gitattributes" for entry in entries):
        return ()
    small = {e.path: e for e in entries if e.mode in ("100644", "100755") and e.size is not None and 100 <= e.size < POINTER_MAX_BYTES}
    if not small:
        return ()
    asked = git(("check-attr", "--cached", "-z", "--stdin", "filter"), git_dir=git_dir, env=env, input=b"\0".join(small) + b"\0")
    fields = asked.stdout.split(b"\0")
    ours = [small[path] for path, value in zip(fields[0::3], fields[2::3], strict=False) if value == b"lfs"]
    texts = read_blobs(mirror.git_dir, [entry.oid for entry in ours])
    found = []
    for entry in ours:
        if parsed := parse_pointer(texts[entry.oid]):
            found.append(Pointer(entry.path, entry.mode == "100755", entry.oid, *parsed, texts[entry.oid]))
    return tuple(found)


def fill(
    pointers: Sequence[Pointer], mirror: Mirror, local: LocalRepo | None, commit: str, work_tree: Path
) -> tuple[tuple[Pointer, ...], tuple[str, ...]]:
    """Replace pointers by content where it can be had. Returns the replaced ones, and notes on the others."""
    stores = [_storage(local)] if local else [mirror.lfs_objects]
    notes: tuple[str, ...] = ()
    if local is None and any(_object(stores, pointer) is None for pointer in pointers):
        notes = _fetch(mirror, commit)
    done = []
    with tree.opened(work_tree) as root:
        for pointer in pointers:
            if (found := _object(stores, pointer)) and _put(root, pointer, found):
                done.append(pointer)
    left = [os.fsdecode(pointer.path) for pointer in pointers if pointer not in done]
    if left and not notes:
        where = f"{local.root} does not have their content: git lfs fetch there" if local else "the server does not have their content"
        notes = (f"LFS pointers left as they are ({len(left)} files, for example {left[0]!r}): {where}",)
    return tuple(done), notes


def _storage(local: LocalRepo) -> Path:
    configured = local.run("config", "--get", "--path", "lfs.storage", check=False).text
    return (local.common_dir / (configured or "lfs")) / "objects"


def _object(stores: Sequence[Path], pointer: Pointer) -> Path | None:
    for store in stores:
        path = store / pointer.oid[:2] / pointer.oid[2:4] / pointer.oid
        with contextlib.suppress(OSError):
            if path.stat().st_size == pointer.size:
                return path
    return None


def _fetch(mirror: Mirror, commit: str) -> tuple[str, ...]:
    if shutil.which("git-lfs") is None:
        return ("LFS pointers left as they are: git-lfs is not installed",)
    if mirror.source is None:
        return ("LFS pointers left as they are: the mirror was opened for reading only",)
    try:
        reach(
            mirror.source,
            ("lfs", "fetch", mirror.source.location, commit),
            doing="fetching LFS objects",
            deadline_s=FETCH_DEADLINE_S,
            git_dir=mirror.git_dir,
            config=(("lfs.url", lfs_url(mirror.source)), ("lfs.locksverify", "false")),
        )
    except AienvError as problem:
        return (f"LFS pointers left as they are: {problem.message}",)
    return ()


def lfs_url(source: Source) -> str:
    """Where a repository's large files are when nobody says otherwise."""
    location = source.location
    if "://" not in location:
        head, _, path = location.rpartition(":")
        return f"ssh://{head}/{path.lstrip('/')}"
    if location.startswith("ssh://"):
        return location
    return location.removesuffix(".git") + ".git/info/lfs"


class _Wrong(Exception):
    """The content is not what the pointer says."""


def _put(root: int, pointer: Pointer, found: Path) -> bool:
    try:
        tree.write_file(root, pointer.path, _verified(found, pointer.oid), executable=pointer.executable, mtime_s=time.time() - AGE_S)
    except (_Wrong, OSError):
        return False
    return True


def _verified(found: Path, oid: str) -> Iterator[bytes]:
    seen = hashlib.sha256()
    with found.open("rb") as file:
        while chunk := file.read(tree.CHUNK_BYTES):
            seen.update(chunk)
            yield chunk
    if seen.hexdigest() != oid:
        raise _Wrong


@contextlib.contextmanager
def known_pointers(pointers: Sequence[Pointer], git_dir: Path) -> Iterator[tuple[tuple[str, str], ...]]:
    """Configuration with which git takes replaced files for the pointers that they stand for: a filter of ours that only reads them out.

    They lie in ``git_dir`` meanwhile, which goes with the run, whatever happens to us.
    """
    if not pointers:
        yield ()
        return
    folder = git_dir / "aienv-pointers"
    folder.mkdir(mode=0o700)
    try:
        with tree.opened(folder) as root:
            for pointer in pointers:
                tree.write_file(root, pointer.path, (pointer.text,), executable=False)
        yield (("filter.lfs.clean", f"cat -- {shlex.quote(str(folder.absolute()).replace('%', '%%'))}/%f"),)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
