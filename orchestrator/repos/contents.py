"""Reading what a bare repository of ours holds: refs, trees, files. Nothing is checked out, no attribute or filter applies."""

import contextlib
import itertools
import os
import re
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from orchestrator.errors import ConfigError
from orchestrator.repos.failures import ObjectsDamaged
from orchestrator.repos.gitcmd import git

FILE_MAX_BYTES = 1024 * 1024
LIST_MAX = 10_000
LOOK_MAX = 100_000
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def refs_of(git_dir: Path, *kinds: str) -> tuple[tuple[str, str], ...]:
    """(full name, object id) of all that the source offers, sorted; without what we keep for ourselves."""
    wanted = (f"refs/{kind}" for kind in kinds or ("heads", "tags", "remotes"))
    listing = git(("for-each-ref", "--format=%(objectname) %(refname)", *wanted), git_dir=git_dir)
    pairs = (line.partition(" ") for line in listing.text.split("\n") if line)
    return tuple(sorted((name, value) for value, _, name in pairs))


def commit_of(git_dir: Path, revision: str) -> str | None:
    """The commit behind a full ref name or (short) commit id; None when there is none. Ambiguity counts as none."""
    answer = git(("rev-parse", "--quiet", "--verify", "--end-of-options", f"{revision}^{{commit}}"), git_dir=git_dir, check=False)
    return answer.text if answer.code == 0 and _COMMIT.fullmatch(answer.text) else None


def object_format(git_dir: Path) -> str:
    return git(("rev-parse", "--show-object-format"), git_dir=git_dir).text


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One file of a commit. ``size`` is None for a submodule."""

    mode: str
    oid: str
    size: int | None
    path: bytes


def tree_of(git_dir: Path, commit: str, path: str = "") -> tuple[TreeEntry, ...]:
    """All files of ``commit``, or only ``path`` and what is below it."""
    only = ("--", path) if path else ()
    listing = git(("ls-tree", "-r", "-l", "-z", "--full-tree", commit, *only), git_dir=git_dir)
    return tuple(_tree_entry(record) for record in listing.stdout.split(b"\0") if record)


def entries_of(git_dir: Path, commit: str, path: str = "") -> Generator[TreeEntry, None, None]:
    """As ``tree_of``, one by one: whoever stops early stops git. A few trees that name each other hold millions of files."""
    only = ("--", path) if path else ()
    read, written = os.pipe()

    def listing() -> None:
        with os.fdopen(written, "wb") as sink:
            git(("ls-tree", "-r", "-l", "-z", "--full-tree", commit, *only), git_dir=git_dir, output=sink)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(listing)
        with os.fdopen(read, "rb") as source:  # closed early, it ends git with SIGPIPE
            rest = b""
            while data := source.read1(1 << 16):
                *records, rest = (rest + data).split(b"\0")
                yield from map(_tree_entry, records)
        done.result()


def _tree_entry(record: bytes) -> TreeEntry:
    facts, _, path = record.partition(b"\t")
    mode, _, oid, size = facts.split()
    return TreeEntry(mode.decode(), oid.decode(), None if size == b"-" else int(size), path)


def read_blob(git_dir: Path, oid: str) -> bytes:
    return git(("cat-file", "blob", oid), git_dir=git_dir).stdout


def read_file(git_dir: Path, commit: str, path: str, *, max_bytes: int = FILE_MAX_BYTES) -> bytes | None:
    """The regular file ``path`` as it is in ``commit``. None when there is none; a symlink or folder is none.

    Raises:
        ConfigError: the file is larger than ``max_bytes``.
    """
    wanted = path.encode("utf-8", "surrogateescape")
    if not _canonical(path):
        return None
    listing = git(("ls-tree", "-l", "-z", "--full-tree", commit, "--", path), git_dir=git_dir)
    entries = [_tree_entry(record) for record in listing.stdout.split(b"\0") if record]
    found = [entry for entry in entries if entry.path == wanted and entry.mode in ("100644", "100755")]
    if not found or found[0].size is None:
        return None
    if found[0].size > max_bytes:
        raise ConfigError(f"{path!r} in {commit[:12]} has {found[0].size} bytes; at most {max_bytes} are read", remedy="make it smaller")
    return read_blob(git_dir, found[0].oid)


def _canonical(path: str) -> bool:
    """Whether a tree could hold ``path``; git would resolve ``..`` against a folder of the host."""
    return "\0" not in path and all(step not in ("", ".", "..") for step in path.split("/"))


def list_files(git_dir: Path, commit: str, prefix: str = "") -> tuple[str, ...]:
    """Names of the regular files below the folder ``prefix``, sorted, at most ``LIST_MAX``; bytes that are not UTF-8 become surrogates.

    Of a folder with more than ``LOOK_MAX`` entries the first ones.
    """
    folder = prefix.strip("/")
    if folder and not _canonical(folder):
        return ()
    start = f"{folder}/".encode("utf-8", "surrogateescape") if folder else b""
    with contextlib.closing(entries_of(git_dir, commit, folder)) as entries:
        looked = itertools.islice(entries, LOOK_MAX)
        names = [entry.path for entry in looked if entry.mode in ("100644", "100755") and entry.path.startswith(start)]
    return tuple(name.decode("utf-8", "surrogateescape") for name in sorted(names)[:LIST_MAX])


def which(git_dir: Path, commit: str, paths: Sequence[str]) -> frozenset[str]:
    """Those of ``paths`` that are regular files of ``commit``, with one git and no look at the rest of the tree."""
    wanted = [path for path in paths if _canonical(path)]
    if not wanted:
        return frozenset()
    listing = git(("ls-tree", "-z", "--full-tree", commit, "--", *wanted), git_dir=git_dir)
    records = (record.partition(b"\t") for record in listing.stdout.split(b"\0") if record)
    return frozenset(path.decode("utf-8", "surrogateescape") for facts, _, path in records if facts.startswith((b"100644", b"100755")))


def copy_blob(git_dir: Path, oid: str, into: IO[bytes]) -> None:
    """The content of a blob, written to the beginning of an empty file and not held in memory."""
    git(("cat-file", "blob", oid), git_dir=git_dir, output=into)


def read_blobs(git_dir: Path, oids: Sequence[str]) -> dict[str, bytes]:
    """The content of many blobs with one git."""
    wanted = sorted(set(oids))
    if not wanted:
        return {}
    out = git(("cat-file", "--batch"), git_dir=git_dir, input="".join(f"{oid}\n" for oid in wanted).encode()).stdout
    found, at = {}, 0
    for oid in wanted:
        end = out.index(b"\n", at)
        words = out[at:end].split()
        if len(words) != 3:
            raise ObjectsDamaged(f"object {oid} is missing in {git_dir}", remedy="run 'git fsck' there")
        size = int(words[2])
        found[oid] = out[end + 1 : end + 1 + size]
        at = end + 1 + size + 1
    return found
