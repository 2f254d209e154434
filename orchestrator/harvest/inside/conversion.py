"""``.gitattributes``: objects as ``git add`` would make them (line ends, encodings, LFS), without ever running a filter program."""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.harvest.inside.files import FILE, kind_of, read_file
from orchestrator.harvest.inside.gitfolder import files_below
from orchestrator.harvest.inside.index import INDEX_BYTES, REGULAR, Entry, parse_index
from orchestrator.harvest.inside.objects import object_name
from orchestrator.harvest.inside.repo import Repo
from orchestrator.harvest.inside.words import Trouble

# Read by git as text wherever it lies; a pipe of that name would hold git for ever.
RULE_FILES = frozenset({b".gitignore", b".gitattributes"})


def by_the_rules(repo: Repo, changed: Mapping[bytes, str], chosen: Mapping[bytes, Entry]) -> dict[bytes, str]:
    """Objects as ``git add`` would make them under the repository's .gitattributes (line ends, encodings, LFS).

    Files were stored as they are before; where the conversion cannot be undone byte for byte, ref ``raw`` keeps those bytes. So the
    branch is what the repository's rules want, and no byte is lost. Filter programs never run; LFS pointers are computed here.
    """
    rules = [path for path in (*repo.disk.files, *chosen) if path.endswith(b".gitattributes")]
    if not changed or not rules:
        return {}
    if any(path.rsplit(b"/", 1)[-1] in RULE_FILES for path in repo.disk.special):
        repo.note("a .gitattributes is no regular file: files are kept as they are")
        return {}
    start = repo.git.index_file({path: (entry.mode, entry.oid) for path, entry in chosen.items()})
    attributes = _attributes(repo, changed, start)
    converted: dict[bytes, str] = {}
    textual = []
    for path, raw in changed.items():
        has = attributes.get(path, {})
        if repo.config.lfs and has.get(b"filter") == b"lfs":
            converted |= _lfs_file(repo, path, raw)
        elif any(
            has.get(name) not in (None, b"unset", b"unspecified") for name in (b"text", b"crlf", b"eol", b"ident", b"working-tree-encoding")
        ):
            textual.append(path)
    return converted | _textual(repo, textual, changed, attributes, start)


def _attributes(repo: Repo, paths: Iterable[bytes], index: bytes) -> dict[bytes, dict[bytes, bytes]]:
    names = ("text", "crlf", "eol", "ident", "working-tree-encoding", "filter")
    answer = repo.git.run(
        "check-attr", "-z", "--stdin", *names, stdin=b"".join(path + b"\0" for path in paths), tree=repo.root, index=index
    )
    words = answer.split(b"\0")
    found: dict[bytes, dict[bytes, bytes]] = {}
    for path, name, value in zip(words[0::3], words[1::3], words[2::3], strict=False):
        found.setdefault(path, {})[name] = value
    return found


def _textual(
    repo: Repo, paths: Sequence[bytes], changed: Mapping[bytes, str], attributes: Mapping[bytes, Mapping[bytes, bytes]], index: bytes
) -> dict[bytes, str]:
    if not paths:
        return {}
    listing = b"".join(path + b"\0" for path in paths)
    try:
        repo.git.run("update-index", "--add", "--replace", "-z", "--stdin", stdin=listing, tree=repo.root, index=index)
        after = {entry.path: entry.oid for entry in parse_index(read_file(index, INDEX_BYTES) or b"", repo.git.width)}
    except Trouble as problem:
        repo.note(f"the rules of .gitattributes cannot be followed, so files are kept as they are: {problem}")
        return {}
    differing = {path: after[path] for path in paths if path in after and after[path] != changed[path]}
    contents = repo.git.contents(differing.values())
    for path, oid in differing.items():
        try:
            bytes_on_disk = read_file((repo.root or b"") + b"/" + path, repo.config.limits.bundle_bytes) or b""
        except Trouble:
            bytes_on_disk = b""
        if not restores(contents.get(oid, b""), bytes_on_disk, attributes.get(path, {}), repo.git.width):
            repo.job.raw.setdefault(repo.where, {})[path] = (REGULAR, changed[path])
    return differing


def restores(blob: bytes, on_disk: bytes, attributes: Mapping[bytes, bytes], width: int = 20) -> bool:
    """Whether a checkout under ``attributes`` gives the bytes on disk back from ``blob``."""
    text = blob
    encoding = attributes.get(b"working-tree-encoding", b"unspecified")
    if attributes.get(b"ident") == b"set":
        text = text.replace(b"$Id$", b"$Id: " + object_name(b"blob", blob, width).encode() + b" $")
    if attributes.get(b"eol") == b"crlf":
        text = re.sub(rb"(?<!\r)\n", b"\r\n", text)
    if encoding not in (b"unspecified", b"unset", b"set"):
        try:
            text = text.decode("utf-8").encode(encoding.decode("ascii"))
        except (UnicodeError, LookupError):
            return False
    return text == on_disk


def _lfs_file(repo: Repo, path: bytes, raw: str) -> dict[bytes, str]:
    digest, size, start = hashlib.sha256(), 0, b""
    with open((repo.root or b"") + b"/" + path, "rb") as file:
        while chunk := file.read(1 << 20):
            start = start or chunk[:100]
            digest.update(chunk)
            size += len(chunk)
    if size == 0 or (size < 1024 and start.startswith(b"version https://git-lfs.github.com/spec/")):
        return {}
    repo.job.lfs.setdefault(repo.where, {})[lfs_place(digest.hexdigest())] = (REGULAR, raw)
    return {path: repo.git.add(b"blob", lfs_pointer(digest.hexdigest(), size))}


def save_lfs(repo: Repo) -> None:
    """Ref ``lfs``: contents of large files, also those that the agent's own git-lfs put aside and the mirror has no pointers to."""
    held = repo.job.lfs.setdefault(repo.where, {})
    store = repo.folder + b"/lfs/objects" if repo.folder is not None else b""
    files: dict[str, tuple[bytes, str]] = {}
    for path in files_below(store, b".", repo.damage) if store and os.path.isdir(store) else ():
        oid, whole = path.rsplit(b"/", 1)[-1].decode("utf-8", "replace"), store + b"/" + path
        if re.fullmatch(r"[0-9a-f]{64}", oid) and lfs_place(oid) not in held and kind_of(os.lstat(whole)) == FILE:
            pointer = lfs_pointer(oid, os.lstat(whole).st_size)
            files[hashlib.sha1(b"blob %d\0" % len(pointer) + pointer).hexdigest()] = (path, oid)
    known = repo.in_mirror(files)
    new = {path: oid for pointer, (path, oid) in files.items() if pointer not in known}
    if new and sum(os.lstat(store + b"/" + path).st_size for path in new) > repo.config.limits.bundle_bytes:
        repo.job.incomplete("the LFS contents of the agent are beyond the limits and stay in the workspace")
    elif new:
        stored = repo.git.hash_files(store, sorted(new))
        held |= {lfs_place(new[path]): (REGULAR, raw) for path, raw in stored.items()}
    if held:
        repo.add("lfs", repo.commit(repo.git.tree(held), [], "LFS contents"), "LFS contents")


def save_raw(repo: Repo) -> None:
    """Ref ``raw``: the bytes on disk of files whose conversion cannot be undone."""
    raw = repo.job.raw.get(repo.where)
    if raw:
        repo.add("raw", repo.commit(repo.git.tree(raw), [], "Files as they were on disk"), "files before text conversion")
        repo.note(f"line ends or encoding of {len(raw)} files were converted as .gitattributes says; ref raw keeps their bytes")


def points_to(pointer: bytes, path: bytes) -> bool:
    """Whether ``pointer``, as git-lfs writes it, names exactly the bytes of the file at ``path``."""
    named = re.fullmatch(rb"version [^\n]+\n(?:ext-[^\n]+\n)*oid sha256:([0-9a-f]{64})\nsize ([0-9]{1,18})\n", pointer)
    if named is None or int(named[2]) != os.lstat(path).st_size:
        return False
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().encode() == named[1]


def lfs_pointer(oid: str, size: int) -> bytes:
    """The text that git-lfs commits in place of a file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n".encode()


def lfs_place(oid: str) -> bytes:
    """Where git-lfs keeps a content, below its ``objects``."""
    return f"{oid[:2]}/{oid[2:4]}/{oid}".encode()
