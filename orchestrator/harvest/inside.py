"""The harvest program: reads the agent's workspace, writes a bundle and a manifest into the outbox.

It runs INSIDE a sandbox, as ``python3 -I -S inside.py CONFIG.json``, without network and without secrets. The workspace is mounted
read-only, nothing of the agent's runs any more. One file, standard library only: it is copied to places where nothing else of ours is.

Its own rules:

* The agent's repository is never opened as a repository. Refs, index and logs are parsed here; git itself only sees a repository of
  ours (``tmp.0.git`` in the outbox) that borrows the agent's objects. No configuration, hook, filter, alias, graft or replace ref of
  the agent is ever in force.
* The work tree comes first. It is brought out even when everything below ``.git`` is broken.
* One broken thing does not stop the rest: it is noted, and ``.git`` goes raw into ``salvage.tar``.
* The same state gives the same commits, byte for byte; author and time come from the configuration.
"""

import fnmatch
import hashlib
import json
import os
import re
import stat
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

MANIFEST_VERSION = 1
OUT = b"refs/aienv-out/"
FILE, LINK, FOLDER, OTHER, CLOSED = "file", "link", "folder", "other", "closed"
REGULAR, EXECUTABLE, SYMLINK, GITLINK = 0o100644, 0o100755, 0o120000, 0o160000

SMALL_FILE_BYTES = 64 * 1024  # HEAD, one loose ref, a gitdir file
REF_FILES = 200_000
WALK_ENTRIES = 2_000_000
INDEX_BYTES = 512 * 1024 * 1024
LOG_BYTES = 16 * 1024 * 1024
OBJECTS = 500_000  # in the agent's own store; above, loose ends are not looked for and .git is kept raw
REFS = 2_000  # in one bundle; further tips become parents of one commit
BUNCH = 500  # parents of one such commit
NESTED = 100
FEW = 100
NOTES = 500
NOTE_CHARS = 500

# What git itself keeps in its folder. Anything else there was put there by hand and goes into salvage.tar.
GIT_OWN = frozenset(
    (
        b"HEAD index refs packed-refs objects logs config config.worktree hooks info description branches COMMIT_EDITMSG "
        b"ORIG_HEAD FETCH_HEAD MERGE_HEAD MERGE_MSG MERGE_MODE MERGE_RR MERGE_AUTOSTASH AUTO_MERGE CHERRY_PICK_HEAD REVERT_HEAD "
        b"REBASE_HEAD SQUASH_MSG TAG_EDITMSG NOTES_EDITMSG EDIT_DESCRIPTION modules worktrees lfs shallow rr-cache gc.log gc.pid "
        b"fsmonitor--daemon fsmonitor--daemon.ipc BISECT_LOG BISECT_NAMES BISECT_START BISECT_TERMS BISECT_EXPECTED_REV "
        b"BISECT_ANCESTORS_OK rebase-merge rebase-apply sequencer commondir gitdir reftable "
    ).split()
)
# Read by git as text wherever it lies; a pipe of that name would hold git for ever.
RULE_FILES = frozenset({b".gitignore", b".gitattributes"})


class Trouble(Exception):
    """One step failed; the text becomes a note."""


class Limits(NamedTuple):
    bundle_bytes: int
    artifact_bytes: int
    ignored_bytes: int
    files: int


class Config(NamedTuple):
    workspace: bytes
    outbox: bytes
    base: str | None
    objects: tuple[bytes, ...]
    masked: tuple[bytes, ...]
    masked_inodes: frozenset[int]
    git: str
    artifacts: tuple[bytes, ...]
    run_id: str
    task: str
    author: tuple[str, str]
    time: int
    limits: Limits
    lfs: bool
    shallow: tuple[str, ...]
    known_refs: dict[bytes, str]
    deadline_s: float


class Entry(NamedTuple):
    """One line of an index. ``stamp`` is (ctime s, ns, mtime s, ns, inode, size) as git noted it; None without it."""

    path: bytes
    mode: int
    oid: str
    stage: int
    absent_ok: bool  # skip-worktree: the file may be absent without being deleted
    planned: bool  # intent to add: only the name is staged
    stamp: tuple[int, ...] | None


class Ref(NamedTuple):
    """One ref of the bundle; ``origin`` says where the agent had it."""

    name: str
    oid: str
    origin: str


class Tree(NamedTuple):
    """What lies in a work tree, paths relative to its root."""

    files: dict[bytes, str]
    nested: list[bytes]
    stray_git: list[bytes]  # ``.git`` entries that are no repository
    odd: list[bytes]  # names that no tree of git can hold
    special: list[bytes]
    closed: list[bytes]  # folders that cannot be listed
    cut: bool


class Found(NamedTuple):
    """What the agent's git folder says, parsed without git."""

    head_name: bytes | None
    head: str | None
    refs: dict[bytes, str]
    stash: list[str]
    spoken: dict[str, str]  # object -> what a reflog said of it
    stores: list[bytes]


# ---------------------------------------------------------------------------------------------------------------------------------------
# words


def config_from(raw: bytes) -> Config:
    """The configuration; written by our own host side, so a fault is a KeyError or ValueError that ends the program."""
    plain = json.loads(raw)
    name, email = plain["author"]
    return Config(
        workspace=os.fsencode(plain["workspace"]),
        outbox=os.fsencode(plain["outbox"]),
        base=plain["base"],
        objects=tuple(os.fsencode(one) for one in plain["objects"]),
        masked=tuple(os.fsencode(one).strip(b"/") for one in plain["masked"]),
        masked_inodes=frozenset(plain.get("masked_inodes", ())),
        git=plain["git"],
        artifacts=tuple(os.fsencode(one) for one in plain["artifacts"]),
        run_id=plain["run_id"],
        task=plain["task"],
        author=(plain_name(name), plain_name(email)),
        time=int(plain["time"]),
        limits=Limits(**plain["limits"]),
        lfs=bool(plain.get("lfs", False)),
        shallow=tuple(plain.get("shallow", ())),
        known_refs={os.fsencode(name): oid for name, oid in plain.get("known_refs", ())},
        deadline_s=float(plain.get("deadline_s", 600.0)),
    )


def plain_name(text: str) -> str:
    """A name or address that cannot end its field in a commit header."""
    return re.sub(r"[<>\x00-\x1f\x7f]", "", text).strip() or "aienv"


def show(raw: bytes) -> str:
    """Bytes as one printable line: valid UTF-8 stays, control characters, backslashes and other bytes become escapes. Reversible."""
    out = []
    for char in raw.decode("utf-8", "surrogateescape"):
        code = ord(char)
        if 0xDC80 <= code <= 0xDCFF:
            out.append(f"\\x{code - 0xDC00:02x}")
        elif char == "\\":
            out.append("\\\\")
        elif char.isprintable():
            out.append(char)
        else:
            out.append(f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return "".join(out)


def safe_ref(raw: bytes) -> str:
    """A ref name that every program and file system takes: ``[A-Za-z0-9._/-]``, all else as ``%XX``; long parts end in a digest."""
    return "/".join(_safe_part(part) for part in raw.split(b"/") if part)[:900].rstrip("/.") or "%"


def _safe_part(part: bytes) -> str:
    plain = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
    out = "".join(
        chr(c) if c in plain or (c == 46 and 0 < i < len(part) - 1 and part[i + 1] != 46) else f"%{c:02X}" for i, c in enumerate(part)
    )
    if out.endswith(".lock"):
        out = out[:-5] + "%2Elock"
    return out if len(out) <= 180 else out[:120].rstrip("%.") + "-" + hashlib.sha256(part).hexdigest()[:24]


# Characters that HFS+ leaves out when it compares names; git refuses ``.g<one of them>it`` in trees.
_HFS_UNSEEN = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_NTFS_DOTGIT = re.compile(rb"(?:\.git|git~1)[ .]*(?:$|[\\:])", re.IGNORECASE)


def holdable(path: bytes) -> bool:
    """Whether a tree of git can hold ``path`` and the host's ``fsck`` will let it pass."""
    return 0 < len(path) < 4096 and b"\0" not in path and all(_holdable_part(part) for part in path.split(b"/"))


def _holdable_part(part: bytes) -> bool:
    if part in (b"", b".", b".."):
        return False
    if len(part) < 4 or (b"git" not in (low := part.lower()) and low.isascii()):
        return True
    if _HFS_UNSEEN.sub("", part.decode("utf-8", "replace")).lower() == ".git":
        return False
    return not any(_NTFS_DOTGIT.match(piece) for piece in part.split(b"\\"))


def looks_like_gitmodules(path: bytes) -> bool:
    """A symlink of this name is refused by every git that checks what it receives."""
    name = _HFS_UNSEEN.sub("", path.rsplit(b"/", 1)[-1].decode("utf-8", "replace")).lower()
    return name.split(":")[0].rstrip(" .") == ".gitmodules" or re.match(r"(gitmod|gi7eba)~[0-9]", name) is not None


def below(path: bytes, parents: Iterable[bytes]) -> bool:
    """Whether ``path`` is one of ``parents`` or lies below one."""
    return any(path == parent or path.startswith(parent + b"/") for parent in parents)


def quoted(path: bytes) -> bytes:
    """A path for git's line-based inputs."""
    return b'"' + b"".join(bytes((c,)) if 32 <= c < 127 and c not in b'"\\' else b"\\%03o" % c for c in path) + b'"'


def is_oid(text: bytes) -> bool:
    return re.fullmatch(rb"[0-9a-f]{40}|[0-9a-f]{64}", text) is not None


# ---------------------------------------------------------------------------------------------------------------------------------------
# files, opened so that neither a link nor a pipe can do harm


def read_file(path: bytes, limit: int = SMALL_FILE_BYTES) -> bytes | None:
    """Contents of a regular file, None when there is none.

    Raises:
        Trouble: unreadable, longer than ``limit``, or of another kind.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as problem:
        raise Trouble(f"{show(path)}: {problem.strerror}") from problem
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode):
        os.close(handle)
        raise Trouble(f"{show(path)} is not a regular file")
    with os.fdopen(handle, "rb") as file:
        if facts.st_size > limit:
            raise Trouble(f"{show(path)} has {facts.st_size} bytes, more than {limit}")
        try:
            return file.read(limit + 1)
        except OSError as problem:
            raise Trouble(f"{show(path)}: {problem.strerror}") from problem


def kind_of(facts: os.stat_result) -> str:
    mode = facts.st_mode
    return FILE if stat.S_ISREG(mode) else LINK if stat.S_ISLNK(mode) else FOLDER if stat.S_ISDIR(mode) else OTHER


def kind_at(root: bytes, path: bytes) -> str | None:
    """What lies at ``root/path`` when no part of the way is a link; None when nothing does."""
    parts, here = path.split(b"/"), root
    for number, part in enumerate(parts):
        here = here + b"/" + part
        try:
            kind = kind_of(os.lstat(here))
        except OSError:
            return None
        if number < len(parts) - 1 and kind != FOLDER:
            return None
    return kind


def is_git_folder(path: bytes) -> bool:
    """Whether a folder holds enough of a repository to be worth opening."""
    return os.path.isdir(path + b"/objects") and (os.path.lexists(path + b"/HEAD") or os.path.isdir(path + b"/refs"))


def git_folder_of(worktree: bytes) -> bytes | None:
    """The git folder behind ``worktree/.git``, be it a folder, a link or a ``gitdir:`` file; None when there is none."""
    place = worktree + b"/.git"
    try:
        facts = os.lstat(place)
    except OSError:
        return None
    if stat.S_ISREG(facts.st_mode):
        try:
            text = read_file(place) or b""
        except Trouble:
            return None
        if not text.startswith(b"gitdir:"):
            return None
        place = os.path.join(worktree, text[7:].split(b"\n")[0].strip())
    resolved = os.path.realpath(place)
    if is_git_folder(resolved):
        return resolved
    return resolved if os.path.isfile(resolved + b"/commondir") and os.path.lexists(resolved + b"/HEAD") else None


def holds_git(worktree: bytes) -> bool:
    """Whether git, passing by, would open a pipe or device behind ``worktree/.git``, and wait or read for ever."""
    folders = [worktree + b"/.git"]
    try:
        text = read_file(folders[0]) or b""
    except Trouble:
        text = b""
    if text.startswith(b"gitdir:"):
        folders = [os.path.join(worktree, text[7:].split(b"\n")[0].strip())]
    for name in (b"/HEAD", b"/commondir"):
        try:
            if kind_of(os.stat(folders[0] + name)) == OTHER:
                return True
        except (OSError, ValueError):
            continue
    return False


def walk(root: bytes, hidden: frozenset[int] = frozenset()) -> Tree:
    """All that lies below ``root``, without its own ``.git``, the files of nested repositories, and entries with ``hidden`` inodes."""
    found = Tree({}, [], [], [], [], [], False)
    pending, seen = [b""], 0
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(root + b"/" + folder if folder else root) as entries:
                listed = [entry for entry in entries if entry.inode() not in hidden]
        except OSError:
            found.closed.append(folder)
            continue
        seen += len(listed)
        if seen > WALK_ENTRIES:
            return found._replace(cut=True)
        names = {entry.name for entry in listed}
        if folder and b".git" in names:
            if holds_git(root + b"/" + folder):
                found.special.append(folder + b"/.git/HEAD")
            if git_folder_of(root + b"/" + folder) is not None:
                found.nested.append(folder)
                continue
        for entry in listed:
            path = folder + b"/" + entry.name if folder else entry.name
            if entry.name == b".git":
                if folder:
                    found.stray_git.append(path)
            elif not holdable(entry.name) or len(path) >= 4096 - len(root):
                found.odd.append(path)
            elif entry.is_symlink():
                found.files[path] = LINK
                if looks_like_gitmodules(path):
                    del found.files[path]
                    found.odd.append(path)
            elif entry.is_dir(follow_symlinks=False):
                pending.append(path)
            elif entry.is_file(follow_symlinks=False):
                found.files[path] = FILE
            else:
                found.special.append(path)
    return found


# ---------------------------------------------------------------------------------------------------------------------------------------
# the index


def parse_index(data: bytes, width: int) -> list[Entry]:
    """Entries of an index of version 2 to 4; ``width`` is the length of an object id in bytes.

    Raises:
        Trouble: damaged, or split or sparse (then the caller starts from the commit instead).
    """
    if len(data) < 12 + width or data[:4] != b"DIRC":
        raise Trouble("the index is damaged: no header")
    version, count = struct.unpack_from(">II", data, 4)
    if version not in (2, 3, 4):
        raise Trouble(f"the index has the unknown version {version}")
    digest = (hashlib.sha1 if width == 20 else hashlib.sha256)(data[:-width]).digest()
    if data[-width:] not in (digest, bytes(width)):
        raise Trouble("the index is damaged: checksum")
    entries: list[Entry] = []
    position, path = 12, b""
    try:
        for _ in range(count):
            entry, position = _parse_entry(data, position, width, version, path)
            path = entry.path
            entries.append(entry)
    except (struct.error, IndexError, ValueError) as problem:
        raise Trouble("the index is damaged: cut off") from problem
    _check_extensions(data, position, len(data) - width)
    return entries


def _parse_entry(data: bytes, start: int, width: int, version: int, previous: bytes) -> tuple[Entry, int]:
    c_s, c_ns, m_s, m_ns, _dev, inode, mode, _uid, _gid, size = struct.unpack_from(">10I", data, start)
    position = start + 40 + width
    oid = data[start + 40 : position].hex()
    (flags,) = struct.unpack_from(">H", data, position)
    position += 2
    extended = 0
    if flags & 0x4000:
        (extended,) = struct.unpack_from(">H", data, position)
        position += 2
    if version == 4:
        strip, position = _varint(data, position)
        if strip > len(previous):
            raise ValueError
        end = data.index(b"\0", position)
        path = previous[: len(previous) - strip] + data[position:end]
        position = end + 1
    else:
        end = data.index(b"\0", position)
        path = data[position:end]
        position = start + ((end - start + 8) & ~7)
    if position > len(data) - width:
        raise ValueError
    planned = bool(extended & 0x2000)
    stamp = None if planned else (c_s, c_ns, m_s, m_ns, inode, size)
    return Entry(path, mode, oid, (flags >> 12) & 3, bool(extended & 0x4000), planned, stamp), position


def _varint(data: bytes, position: int) -> tuple[int, int]:
    byte = data[position]
    value = byte & 0x7F
    while byte & 0x80:
        position += 1
        byte = data[position]
        value = ((value + 1) << 7) | (byte & 0x7F)
    return value, position + 1


def _check_extensions(data: bytes, position: int, end: int) -> None:
    while position < end:
        if position + 8 > end:
            raise Trouble("the index is damaged: extension")
        name, size = data[position : position + 4], struct.unpack_from(">I", data, position + 4)[0]
        if not name[:1].isupper() and name != b"sdir":
            raise Trouble(f"the index is split or unknown ({show(name)})")
        if name == b"sdir":
            raise Trouble("the index is sparse")
        position += 8 + size
    if position != end:
        raise Trouble("the index is damaged: extension")


def build_index(entries: Mapping[bytes, tuple[int, str]], width: int) -> bytes:
    """An index of version 2 that holds exactly ``entries``, without any time stamps."""
    parts = [struct.pack(">4sII", b"DIRC", 2, len(entries))]
    for path in sorted(entries):
        mode, oid = entries[path]
        length = 62 - 20 + width + len(path)
        parts.append(
            struct.pack(">10I", 0, 0, 0, 0, 0, 0, mode, 0, 0, 0) + bytes.fromhex(oid) + struct.pack(">H", min(len(path), 0xFFF)) + path
        )
        parts.append(bytes(8 - length % 8))
    data = b"".join(parts)
    return data + (hashlib.sha1 if width == 20 else hashlib.sha256)(data).digest()


def same_stamp(entry: Entry, facts: os.stat_result, index_time_ns: int) -> bool:
    """Whether git's own stat data says that the file is what the index holds. A file as young as the index may have changed unseen."""
    if entry.stamp is None:
        return False
    c_s, c_ns, m_s, m_ns, inode, size = entry.stamp
    mask = 0xFFFFFFFF
    return (
        (m_s, m_ns) == (facts.st_mtime_ns // 10**9 & mask, facts.st_mtime_ns % 10**9)
        and (c_s, c_ns) == (facts.st_ctime_ns // 10**9 & mask, facts.st_ctime_ns % 10**9)
        and inode == facts.st_ino & mask
        and size == facts.st_size & mask
        and m_s * 10**9 + m_ns < index_time_ns
        and mode_of(facts) == entry.mode
    )


def mode_of(facts: os.stat_result) -> int:
    if stat.S_ISLNK(facts.st_mode):
        return SYMLINK
    return EXECUTABLE if facts.st_mode & stat.S_IXUSR else REGULAR


# ---------------------------------------------------------------------------------------------------------------------------------------
# the agent's git folder, read without git


def read_git_folder(folder: bytes, damaged: Callable[[str], None], *, own_refs: bool = True) -> Found:
    """Head, refs, stashes and object folders. What cannot be read is reported through ``damaged`` and left out."""
    common = common_folder(folder)
    refs: dict[bytes, str] = {}
    symbolic: dict[bytes, bytes] = {}
    if own_refs:
        _packed_refs(common + b"/packed-refs", refs, damaged)
        _loose_refs(common, refs, symbolic, damaged)
    if os.path.isdir(common + b"/reftable"):
        damaged("refs are kept in a reftable, which is not read here; commits are brought out as loose ends")
    head_name, head = _head(folder + b"/HEAD", damaged)
    if head_name is not None:
        head = _resolve(head_name, refs, symbolic, common)
    for name, target in symbolic.items():
        resolved = _resolve(target, refs, symbolic, common)
        if resolved is not None and not name.startswith(b"refs/remotes/"):
            refs[name] = resolved
    spoken: dict[str, str] = {}
    stash = _logs(common, refs, spoken, damaged) if own_refs else []
    return Found(head_name, head, refs, stash, spoken, _stores(folder, common))


def common_folder(folder: bytes) -> bytes:
    """Where refs and objects lie: another folder for a linked work tree."""
    try:
        text = read_file(folder + b"/commondir")
    except Trouble:
        return folder
    if not text:
        return folder
    other = os.path.realpath(os.path.join(folder, text.split(b"\n")[0].strip()))
    return other if is_git_folder(other) else folder


def _head(path: bytes, damaged: Callable[[str], None]) -> tuple[bytes | None, str | None]:
    try:
        text = os.readlink(path) if os.path.islink(path) else (read_file(path) or b"").strip()
    except (OSError, Trouble) as problem:
        damaged(f"HEAD cannot be read: {problem}")
        return None, None
    if text.startswith(b"ref:"):
        return text[4:].strip(), None
    if text.startswith(b"refs/"):
        return text, None
    if is_oid(text):
        return None, text.decode()
    damaged("HEAD is neither a branch nor a commit")
    return None, None


def _packed_refs(path: bytes, refs: dict[bytes, str], damaged: Callable[[str], None]) -> None:
    try:
        text = read_file(path, 256 * 1024 * 1024) or b""
    except Trouble as problem:
        return damaged(str(problem))
    garbage = 0
    for line in text.split(b"\n"):
        if not line or line[:1] in b"#^":
            continue
        oid, _, name = line.partition(b" ")
        if is_oid(oid) and name.startswith(b"refs/"):
            refs[name] = oid.decode()
        else:
            garbage += 1
    if garbage:
        damaged(f"packed-refs has {garbage} lines that are no refs")
    return None


def _loose_refs(common: bytes, refs: dict[bytes, str], symbolic: dict[bytes, bytes], damaged: Callable[[str], None]) -> None:
    for name in sorted(_files_below(common, b"refs", damaged)):
        if name.endswith(b".lock"):
            continue
        path = common + b"/" + name
        try:
            text = os.readlink(path) if os.path.islink(path) else (read_file(path) or b"").strip()
        except (OSError, Trouble) as problem:
            damaged(f"ref {show(name)} cannot be read: {problem}")
            continue
        target = text[4:].strip() if text.startswith(b"ref:") else text
        if target.startswith(b"refs/"):
            symbolic[name] = target
        elif is_oid(text):
            refs[name] = text.decode()
        else:
            damaged(f"ref {show(name)} is damaged")


def _files_below(root: bytes, folder: bytes, damaged: Callable[[str], None]) -> Iterator[bytes]:
    pending, count = [folder], 0
    while pending:
        here = pending.pop()
        try:
            with os.scandir(root + b"/" + here) as entries:
                for entry in entries:
                    count += 1
                    if count > REF_FILES:
                        return damaged(f"more than {REF_FILES} files below {show(folder)}")
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(here + b"/" + entry.name)
                    else:
                        yield here + b"/" + entry.name
        except FileNotFoundError:
            continue
        except OSError as problem:
            damaged(f"{show(here)}: {problem.strerror}")
    return None


def _resolve(name: bytes, refs: Mapping[bytes, str], symbolic: Mapping[bytes, bytes], common: bytes) -> str | None:
    for _ in range(5):
        if name in symbolic:
            name = symbolic[name]
        else:
            break
    if name in refs or not name.startswith(b"refs/") or b".." in name:
        return refs.get(name)
    try:
        text = (read_file(common + b"/" + name) or b"").strip()
    except Trouble:
        return None
    return text.decode() if is_oid(text) else None


def _logs(common: bytes, refs: Mapping[bytes, str], spoken: dict[str, str], damaged: Callable[[str], None]) -> list[str]:
    """The stash entries, newest first; on the way ``spoken`` learns what the logs say of each object."""
    stash: list[str] = []
    total = 0
    for name in sorted(_files_below(common, b"logs", damaged)):
        try:
            text = read_file(common + b"/" + name, LOG_BYTES) or b""
        except Trouble as problem:
            damaged(str(problem))
            continue
        total += len(text)
        if total > LOG_BYTES:
            damaged("the reflogs are too long to be read in full")
            break
        lines = [line for line in text.split(b"\n") if line]
        for line in lines:
            words = line.split(b"\t", 1)[0].split(b" ", 2)
            if len(words) < 2 or not is_oid(words[1]):
                continue
            message = line.partition(b"\t")[2]
            spoken.setdefault(words[1].decode(), show(name[5:] + b": " + message)[:200])
            if name == b"logs/refs/stash":
                stash.insert(0, words[1].decode())
    top = refs.get(b"refs/stash")
    if top is not None and (not stash or stash[0] != top):
        stash.insert(0, top)
    return stash


def _stores(folder: bytes, common: bytes) -> list[bytes]:
    """Object folders of the agent, in order of search, alternates included as far as they are objects folders that exist."""
    stores: list[bytes] = []
    pending = [os.path.realpath(common + b"/objects"), os.path.realpath(folder + b"/objects")]
    while pending and len(stores) < 16:
        store = pending.pop(0)
        if store in stores or not os.path.isdir(store) or b"\n" in store or store.startswith(b'"'):
            continue
        stores.append(store)
        try:
            text = read_file(store + b"/info/alternates") or b""
        except Trouble:
            continue
        pending.extend(os.path.realpath(os.path.join(store, line)) for line in text.split(b"\n") if line and line[:1] != b"#")
    return stores


def objects_in(store: bytes, width: int) -> set[str]:
    """Names of all objects in one store, loose and packed.

    Raises:
        Trouble: the store cannot be listed, or holds more than ``OBJECTS``.
    """
    names: set[str] = set()
    try:
        for fan in os.listdir(store):
            if re.fullmatch(rb"[0-9a-f]{2}", fan):
                names.update(
                    (fan + rest).decode() for rest in os.listdir(store + b"/" + fan) if is_oid(fan + rest) and len(rest) == 2 * width - 2
                )
        packs = os.listdir(store + b"/pack") if os.path.isdir(store + b"/pack") else []
    except OSError as problem:
        raise Trouble(f"objects cannot be listed: {problem.strerror}") from problem
    for pack in packs:
        if pack.endswith(b".idx"):
            names.update(_pack_names(read_file(os.path.realpath(store + b"/pack/" + pack), INDEX_BYTES) or b"", width))
        if len(names) > OBJECTS:
            break
    if len(names) > OBJECTS:
        raise Trouble(f"more than {OBJECTS} objects of the agent's own")
    return names


def _pack_names(data: bytes, width: int) -> Iterator[str]:
    start, step, skip = (8, width, 0) if data[:8] == b"\377tOc\0\0\0\2" else (0, width + 4, 4)
    if len(data) < start + 1024:
        raise Trouble("a pack index is damaged")
    (count,) = struct.unpack_from(">I", data, start + 1020)
    start += 1024 + skip
    if len(data) < start + count * step - skip:
        raise Trouble("a pack index is damaged")
    for position in range(start, start + count * step, step):
        yield data[position : position + width].hex()


# ---------------------------------------------------------------------------------------------------------------------------------------
# git, on a repository of ours


NEUTRAL = """\
[core]
    bare = true
    autocrlf = false
    safecrlf = false
    fsmonitor = false
    untrackedCache = false
    hooksPath = /dev/null
    attributesFile = /dev/null
    protectHFS = false
    protectNTFS = false
    bigFileThreshold = 16m
    compression = 1
    looseCompression = 1
    commitGraph = false
    multiPackIndex = false
    fsync = none
    logAllRefUpdates = false
[pack]
    threads = 1
    windowMemory = 64m
    useBitmaps = false
[gc]
    auto = 0
"""


def neutral_config(*, sha256: bool, excludes: bytes | None) -> bytes:
    """The whole configuration of our repository; names that git cannot hold are kept out by ``holdable``, not by git."""
    lines = [NEUTRAL.encode(), b"[core]\n    repositoryformatversion = %d\n" % sha256]
    if excludes is not None and b"\n" not in excludes:
        lines.append(b'    excludesFile = "%s"\n' % excludes.replace(b"\\", b"\\\\").replace(b'"', b'\\"'))
    if sha256:
        lines.append(b"[extensions]\n    objectFormat = sha256\n")
    return b"".join(lines)


class Git:
    """A bare repository in the outbox that borrows objects. Made by writing files, so nothing of a template gets in."""

    def __init__(self, config: Config, folder: bytes, width: int, borrowed: Sequence[bytes], excludes: bytes | None, ends: float) -> None:
        self.folder, self.width, self.ends = folder, width, ends
        self.program = config.git
        for part in (b"", b"/objects", b"/objects/info", b"/objects/pack", b"/refs", b"/info"):
            os.makedirs(folder + part, exist_ok=True)
        self._write(b"HEAD", b"ref: refs/heads/none\n")
        self._write(b"config", neutral_config(sha256=width == 32, excludes=excludes))
        self.borrow(borrowed)
        if config.shallow:
            self._write(b"shallow", "".join(f"{one}\n" for one in config.shallow).encode())
        self._index_number = 0
        self._shadows = 0

    def _write(self, name: bytes, data: bytes) -> None:
        with open(self.folder + b"/" + name, "wb") as file:
            file.write(data)

    def borrow(self, stores: Sequence[bytes]) -> None:
        """Look for objects in ``stores`` from now on."""
        self._write(b"objects/info/alternates", b"".join(store + b"\n" for store in stores))

    def shadow(self, store: bytes) -> tuple[bytes, list[bytes]]:
        """A folder of links to the object files in the agent's ``store``; and what was left out because it is no regular file.

        Git never sees the agent's own ``info/alternates``, and never opens a pipe where it expects an object.
        """
        self._shadows += 1
        target = self.folder + b"/shadow.%d" % self._shadows
        os.makedirs(target)
        odd: list[bytes] = []
        for fan in sorted(os.listdir(store)):
            if fan != b"pack" and not re.fullmatch(rb"[0-9a-f]{2}", fan):
                continue
            try:
                with os.scandir(store + b"/" + fan) as entries:
                    kinds = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
                plain = not os.path.islink(store + b"/" + fan)
            except OSError:
                odd.append(fan)
                continue
            if plain and all(kinds.values()):
                os.symlink(store + b"/" + fan, target + b"/" + fan)
                continue
            os.makedirs(target + b"/" + fan)
            for name, regular in kinds.items():
                if regular:
                    os.symlink(store + b"/" + fan + b"/" + name, target + b"/" + fan + b"/" + name)
                else:
                    odd.append(fan + b"/" + name)
        return target, odd

    def run(
        self,
        *args: str | bytes,
        stdin: bytes = b"",
        tree: bytes | None = None,
        index: bytes | None = None,
        store: bytes | None = None,
        sink: int = subprocess.PIPE,
    ) -> bytes:
        """Output of one git.

        Raises:
            Trouble: it failed, could not start, or took too long.
        """
        env: dict[str, str | bytes] = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": "/nonexistent",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_GRAFT_FILE": "/dev/null",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_ALLOW_PROTOCOL": "none",
            "LC_ALL": "C",
            "GIT_DIR": self.folder,
            **{name: os.environ[name] for name in ("GIT_EXEC_PATH", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ},
        }
        if tree is not None:
            env["GIT_WORK_TREE"] = tree
        if index is not None:
            env["GIT_INDEX_FILE"] = index
        if store is not None:
            env["GIT_OBJECT_DIRECTORY"] = store
        try:
            done = subprocess.run(
                (self.program, "--no-pager", "--literal-pathspecs", *args),
                input=stdin,
                stdout=sink,
                stderr=subprocess.PIPE,
                env=env,
                cwd=tree or self.folder,
                timeout=max(1.0, self.ends - time.monotonic()),
                check=False,
            )
        except subprocess.TimeoutExpired as problem:
            raise Trouble(f"git {show(os.fsencode(args[0]))} took too long") from problem
        except OSError as problem:
            raise Trouble(f"git does not start: {problem}") from problem
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise Trouble(f"git {show(os.fsencode(args[0]))}: {show(os.fsencode(said[-1])) if said else f'exit {done.returncode}'}")
        return done.stdout or b""

    def check(self, names: Iterable[str], store: bytes | None = None) -> dict[str, tuple[str, str]]:
        """name -> (object, type) for those of ``names`` that exist."""
        asked = sorted(set(names))
        if not asked:
            return {}
        lines = self.run("cat-file", "--batch-check", "--buffer", stdin="".join(f"{name}\n" for name in asked).encode(), store=store).split(
            b"\n"
        )
        found = {}
        for name, line in zip(asked, lines, strict=False):
            words = line.decode("utf-8", "replace").split(" ")
            if len(words) == 3 and words[1] in ("commit", "tree", "blob", "tag"):
                found[name] = (words[0], words[1])
        return found

    def contents(self, oids: Iterable[str]) -> dict[str, bytes]:
        """object -> its bytes; for small objects. One that is damaged ends the answer, so the rest is missing from it."""
        asked = sorted(set(oids))
        if not asked:
            return {}
        try:
            data = self.run("cat-file", "--batch", "--buffer", stdin="".join(f"{oid}\n" for oid in asked).encode())
        except Trouble:
            return (
                {}
                if len(asked) == 1
                else {oid: text for one in asked for oid, text in self.contents([one]).items()}
                if len(asked) <= 100
                else {}
            )
        found, position = {}, 0
        for oid in asked:
            end = data.find(b"\n", position)
            words = data[position:end].split(b" ")
            position = end + 1
            if end >= 0 and len(words) == 3 and words[2].isdigit():
                found[oid] = data[position : position + int(words[2])]
                position += int(words[2]) + 1
        return found

    def add(self, kind: bytes, data: bytes) -> str:
        """Store one object and return its name."""
        whole = kind + b" %d\0" % len(data) + data
        oid = (hashlib.sha1 if self.width == 20 else hashlib.sha256)(whole).hexdigest()
        folder = self.folder + b"/objects/" + oid[:2].encode()
        path = folder + b"/" + oid[2:].encode()
        if not os.path.exists(path):
            os.makedirs(folder, exist_ok=True)
            with open(path + b".new", "wb") as file:
                file.write(zlib.compress(whole, 1))
            os.rename(path + b".new", path)
        return oid

    def hash_files(self, root: bytes, paths: Sequence[bytes]) -> dict[bytes, str]:
        """Store the bytes of regular files as they are; path -> object."""
        if len(paths) <= FEW:
            return self._hash(root, paths, "-w")
        # Git writes an object again that it finds in a folder which it may not write; so of many files only the new ones are stored.
        oids = self._hash(root, paths)
        known = self.check(oids.values())
        self._hash(root, [path for path in paths if oids[path] not in known], "-w")
        return oids

    def _hash(self, root: bytes, paths: Sequence[bytes], *options: str) -> dict[bytes, str]:
        if not paths:
            return {}
        listing = b"".join(quoted(path) + b"\n" for path in paths)
        out = self.run("hash-object", *options, "--no-filters", "--stdin-paths", stdin=listing, tree=root)
        return dict(zip(paths, out.decode().split(), strict=True))

    def index_file(self, entries: Mapping[bytes, tuple[int, str]]) -> bytes:
        """A fresh index with ``entries``; its path."""
        self._index_number += 1
        name = b"index.%d" % self._index_number
        self._write(name, build_index(entries, self.width))
        return self.folder + b"/" + name

    def tree(self, entries: Mapping[bytes, tuple[int, str]]) -> str:
        """Store the tree that holds ``entries``."""
        return self.run("write-tree", index=self.index_file(entries)).decode().strip()

    def listed(self, treeish: str, paths: Sequence[bytes] = ()) -> dict[bytes, tuple[int, str]]:
        """path -> (mode, object) of all files of a commit, or of those below ``paths``."""
        return dict(parse_listing(self.run("ls-tree", "-r", "-z", "--full-tree", treeish, "--", *paths)))

    def reachable(self, tips: Iterable[str], without: Iterable[str]) -> set[str]:
        """All objects that ``tips`` need and ``without`` do not.

        Raises:
            Trouble: something is missing or damaged on the way.
        """
        asked = "".join(f"{tip}\n" for tip in tips) + "".join(f"^{tip}\n" for tip in without)
        return set(self.run("rev-list", "--objects", "--no-object-names", "--stdin", stdin=asked.encode()).decode().split())


def parse_listing(data: bytes) -> Iterator[tuple[bytes, tuple[int, str]]]:
    for line in data.split(b"\0"):
        if line:
            facts, _, path = line.partition(b"\t")
            mode, _kind, oid = facts.split(b" ")
            yield path, (int(mode, 8), oid.decode())


def parse_tree(data: bytes, width: int) -> Iterator[tuple[int, bytes, str]]:
    """(mode, name, object) of one tree object.

    Raises:
        Trouble: damaged.
    """
    position = 0
    while position < len(data):
        space, nul = data.find(b" ", position), data.find(b"\0", position)
        if not position < space < nul or not re.fullmatch(rb"[0-7]{5,6}", data[position:space]) or len(data) < nul + 1 + width:
            raise Trouble("a tree is damaged")
        yield int(data[position:space], 8), data[space + 1 : nul], data[nul + 1 : nul + 1 + width].hex()
        position = nul + 1 + width


def empty_object(kind: bytes, width: int) -> str:
    return (hashlib.sha1 if width == 20 else hashlib.sha256)(kind + b" 0\0").hexdigest()


def lfs_pointer(oid: str, size: int) -> bytes:
    """The text that git-lfs commits in place of a file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n".encode()


# ---------------------------------------------------------------------------------------------------------------------------------------
# one repository


class Repo:
    """One repository on its way out: the workspace itself, or one nested in it.

    ``root`` is its work tree (None: it has lost it), ``folder`` its git folder (None: it has none), ``where`` its path in the workspace.
    """

    def __init__(
        self, job: "Job", root: bytes | None, folder: bytes | None, base: str | None, where: bytes, scratch: bytes, linked: bool
    ) -> None:
        self.job, self.root, self.folder, self.base, self.where, self.linked = job, root, folder, base, where, linked
        self.config = job.config
        prefix = where + b"/" if where else b""
        self.masked = tuple(one[len(prefix) :] for one in self.config.masked if one.startswith(prefix))
        self.refs: list[Ref] = []
        self.hurt = False
        self.uncommitted = False
        self.worktree: str | None = None
        self.worktree_tree: str | None = None
        self.disk = walk(root, self.config.masked_inodes) if root is not None else Tree({}, [], [], [], [], [], False)
        self.found = read_git_folder(folder, self.damage, own_refs=not linked) if folder is not None else Found(None, None, {}, [], {}, [])
        self.git = Git(self.config, scratch, self._width(), self.config.objects, self._excludes(), job.ends)
        self.shadows = self._shadow_stores()
        self._borrow()
        self.known: dict[str, tuple[str, str]] = {}
        self.hosts: list[str] = []  # commits that the host has anyway, so the bundle leaves out what they reach
        self._look_up()

    # notes

    def note(self, text: str) -> None:
        self.job.note(f"{show(self.where)}: {text}" if self.where else text)

    def damage(self, text: str) -> None:
        """Something of ``.git`` cannot be brought out by git: it stays in the raw copy."""
        self.hurt = True
        self.note(text)

    # beginnings

    def _width(self) -> int:
        oids = (self.base, self.found.head, *self.found.refs.values())
        return next((len(oid) // 2 for oid in oids if oid), 20)

    def _shadow_stores(self) -> list[bytes]:
        shadows = []
        for store in self.found.stores:
            if store not in self.config.objects:
                try:
                    shadow, odd = self.git.shadow(store)
                except OSError as problem:
                    self.damage(f"objects cannot be listed: {problem.strerror}")
                    continue
                shadows.append(shadow)
                if odd:
                    self.damage(f"{len(odd)} entries among the objects are no regular files, for example {show(odd[0])}")
        return shadows

    def _borrow(self) -> None:
        self.git.borrow([*self.config.objects, *self.shadows])

    def _excludes(self) -> bytes | None:
        """The clone's own ``info/exclude``, as a plain list of patterns."""
        path = common_folder(self.folder) + b"/info/exclude" if self.folder is not None else b""
        return path if path and os.path.isfile(path) and not os.path.islink(path) else None

    def _look_up(self) -> None:
        """Which of the named objects exist. A missing base means that nothing can be left out of the bundle."""
        oids = {
            oid
            for oid in (self.base, self.found.head, *self.found.refs.values(), *self.found.stash)
            if oid and len(oid) == 2 * self.git.width
        }
        begun = set(self.config.known_refs.values()) if not self.where else set()
        asked = oids | begun
        asked.update(f"{oid}^{{tree}}" for oid in (self.base, self.found.head) if oid)
        asked.update(f"{oid}^{{commit}}" for name, oid in self.found.refs.items() if name.startswith((b"refs/tags/", b"refs/notes/")))
        try:
            self.known = self.git.check(asked)
        except Trouble as problem:
            self.damage(f"the named objects cannot be looked up: {problem}")
            self.git.borrow(self.config.objects)
            self.known = self.git.check({one for one in asked if self.base and one.startswith(self.base)})
            self._borrow()
        if self.base is not None and self._kind(self.base) != "commit":
            self.note(f"the base commit {self.base} is missing, so the bundle holds the whole history")
            self.base = None
        self.hosts = [
            *([self.base] if self.base else []),
            *sorted(oid for oid in begun - {self.base} if self._kind(oid) in ("commit", "tag")),
        ]
        if self.found.head is not None and self._kind(self.found.head) != "commit":
            self.damage(f"HEAD names {self.found.head}, which is no commit that can be read")
            self.found = self.found._replace(head=None)

    def _kind(self, oid: str) -> str | None:
        return self.known[oid][1] if oid in self.known else None

    @property
    def head(self) -> str | None:
        return self.found.head

    # the work tree

    def save_worktree(self) -> None:
        """Refs ``worktree``, ``index``, ``conflict/N``, ``raw``, ``ignored`` and ``lfs``, as far as there is something to hold."""
        if self.root is None:
            return
        self._tell_of_disk()
        entries, time_ns = self._staged()
        chosen = choose(entries)
        for problem in [path for path in chosen if not holdable(path)]:
            self.damage(f"the index holds the impossible path {show(problem)}")
            del chosen[problem]
        rest = self._masked_base()
        staged = {
            path: (entry.mode, entry.oid) for path, entry in chosen.items() if not entry.planned and not below(path, self.masked)
        } | rest
        ignored = self._ignored(chosen, staged)
        try:
            tree = self._snapshot(chosen, ignored, time_ns) | rest
            self._commit_worktree(tree)
        except Trouble as problem:
            self.damage(f"the work tree is read anew from the files alone: {problem}")
            self._worktree_alone(ignored, rest)
            return
        self._save_index(staged, tree, entries)
        self._save_ignored(ignored)
        self._save_lfs_store()

    def _tell_of_disk(self) -> None:
        disk = self.disk
        for path in disk.special:
            if not below(path, self.masked):
                self.note(f"{show(path)} is a pipe, socket or device and has no contents to bring out")
        for path in [*disk.odd, *disk.stray_git]:
            if not below(path, self.masked):
                self.job.salvage(self.root or b"", path, self.where)
                self.note(f"{show(path)} cannot be held by git and lies in salvage.tar")
        for path in disk.closed:
            if not below(path, self.masked):
                self.job.unreadable_path(self.where, path)
        if disk.cut:
            self.job.incomplete(f"more than {WALK_ENTRIES} files: not all of them were looked at")

    def _staged(self) -> tuple[list[Entry], int]:
        """The agent's index, else what HEAD or the base holds; with the time at which the index was written."""
        path = self.folder + b"/index" if self.folder is not None else None
        if path is not None:
            try:
                data = read_file(path, INDEX_BYTES)
                if data is not None:
                    return parse_index(data, self.git.width), os.stat(path).st_mtime_ns
            except Trouble as problem:
                self.damage(str(problem))
        start = self.head or self.base
        if start is None:
            return [], 0
        try:
            listed = self.git.listed(start)
        except Trouble as problem:
            self.damage(str(problem))
            listed = self.git.listed(self.base) if self.base and self.base != start else {}
        return [Entry(path, mode, oid, 0, False, False, None) for path, (mode, oid) in listed.items()], 0

    def _masked_base(self) -> dict[bytes, tuple[int, str]]:
        if not self.masked or self.base is None:
            return {}
        return {path: entry for path, entry in self.git.listed(self.base, self.masked).items() if below(path, self.masked)}

    def _ignored(self, chosen: Mapping[bytes, Entry], staged: Mapping[bytes, tuple[int, str]]) -> dict[bytes, bytes]:
        """path -> the ignored folder or file that it belongs to, for all untracked files that the repository ignores."""
        if all(path in chosen for path in self.disk.files):
            return {}
        if any(path.endswith((b".gitignore", b"/.git/HEAD")) for path in self.disk.special):
            self.note("a .gitignore or a HEAD is no regular file, so git may not look: nothing counts as ignored")
            return {}
        listing = self.git.run(
            "ls-files", "-z", "-o", "-i", "--exclude-standard", "--directory", tree=self.root, index=self.git.index_file(staged)
        )
        named = {path for path in listing.split(b"\0") if path}
        owners: dict[bytes, bytes | None] = {b"": None}

        def owner(folder: bytes) -> bytes | None:
            if folder not in owners:
                owners[folder] = owner(folder.rpartition(b"/")[0]) or (folder + b"/" if folder + b"/" in named else None)
            return owners[folder]

        ignored = {}
        for path in self.disk.files:
            if path not in chosen and not below(path, self.masked):
                group = path if path in named else owner(path.rpartition(b"/")[0])
                if group is not None:
                    ignored[path] = group
        return ignored

    def _snapshot(self, chosen: Mapping[bytes, Entry], ignored: Mapping[bytes, bytes], time_ns: int) -> dict[bytes, tuple[int, str]]:
        """The tree that the files on disk stand for."""
        tree: dict[bytes, tuple[int, str]] = {}
        dirty: dict[bytes, os.stat_result] = {}
        special, files = set(self.disk.special), self.disk.files
        for path, entry in chosen.items():
            if below(path, self.masked):
                continue
            if entry.mode == GITLINK:
                tree |= self._gitlink(entry)
                continue
            kind = files.get(path) or (kind_at(self.root or b"", path) if below(path, self.disk.nested) else None)
            if kind in (FILE, LINK):
                facts = self._facts(path)
                if facts is None or same_stamp(entry, facts, time_ns):
                    tree[path] = (entry.mode, entry.oid)
                else:
                    dirty[path] = facts
            elif (kind is None and path not in special and (entry.absent_ok or below(path, self.disk.closed))) or self._kept_aside(path):
                tree[path] = (entry.mode, entry.oid)
        for path in files:
            if path not in chosen and path not in ignored and not below(path, self.masked):
                facts = self._facts(path)
                if facts is not None:
                    dirty[path] = facts
        return tree | self._stored(self._affordable(dirty), chosen)

    def _kept_aside(self, path: bytes) -> bool:
        """A tracked name that now is something git cannot hold: the old entry stays, the new thing is in salvage.tar."""
        return below(path, self.disk.odd)

    def _facts(self, path: bytes) -> os.stat_result | None:
        """``lstat``; None for what cannot be read, which then makes the harvest incomplete."""
        whole = (self.root or b"") + b"/" + path
        try:
            facts = os.lstat(whole)
        except OSError:
            self.job.unreadable_path(self.where, path)
            return None
        if stat.S_ISREG(facts.st_mode) and not facts.st_mode & stat.S_IRUSR and not os.access(whole, os.R_OK):
            self.job.unreadable_path(self.where, path)
            return None
        return facts

    def _affordable(self, dirty: dict[bytes, os.stat_result]) -> dict[bytes, os.stat_result]:
        """As many of the changed files as the limits allow, the small ones first."""
        limits, total = self.config.limits, 0
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
        self.job.incomplete(f"{len(left)} files are beyond the limits and stay in the workspace, among them {show(left[-1])}")
        return kept

    def _stored(self, dirty: Mapping[bytes, os.stat_result], chosen: Mapping[bytes, Entry]) -> dict[bytes, tuple[int, str]]:
        root = self.root or b""
        regular = sorted(path for path, facts in dirty.items() if stat.S_ISREG(facts.st_mode))
        oids = self._hash(regular)
        for path, facts in dirty.items():
            if stat.S_ISLNK(facts.st_mode):
                oids[path] = self.git.add(b"blob", os.readlink(root + b"/" + path))
        changed = {path: oids[path] for path in regular if path in oids and (path not in chosen or chosen[path].oid != oids[path])}
        oids |= self._by_the_rules(changed, chosen)
        stored = {path: (mode_of(facts), oids[path]) for path, facts in dirty.items() if path in oids}
        return stored | {path: (chosen[path].mode, chosen[path].oid) for path in dirty if path not in oids and path in chosen}

    def _hash(self, paths: Sequence[bytes]) -> dict[bytes, str]:
        try:
            return self.git.hash_files(self.root or b"", paths)
        except Trouble:
            if len(paths) == 1:
                self.job.unreadable_path(self.where, paths[0])
                return {}
        half = len(paths) // 2
        return self._hash(paths[:half]) | self._hash(paths[half:])

    def _gitlink(self, entry: Entry) -> dict[bytes, tuple[int, str]]:
        """A submodule at the commit that it is at; one that was never filled is unchanged; one without a folder is deleted."""
        place = (self.root or b"") + b"/" + entry.path
        if not os.path.isdir(place) or os.path.islink(place):
            return {}
        folder = git_folder_of(place)
        head = head_of(folder) if folder is not None else None
        return {entry.path: (GITLINK, head if head and len(head) == 2 * self.git.width else entry.oid)}

    # text conversion

    def _by_the_rules(self, changed: Mapping[bytes, str], chosen: Mapping[bytes, Entry]) -> dict[bytes, str]:
        """Objects as ``git add`` would make them under the repository's .gitattributes (line ends, encodings, LFS).

        Files were stored as they are before; where the conversion cannot be undone byte for byte, ref ``raw`` keeps those bytes. So the
        branch is what the repository's rules want, and no byte is lost. Filter programs never run; LFS pointers are computed here.
        """
        rules = [path for path in (*self.disk.files, *chosen) if path.endswith(b".gitattributes")]
        if not changed or not rules:
            return {}
        if any(path.rsplit(b"/", 1)[-1] in RULE_FILES for path in self.disk.special):
            self.note("a .gitattributes is no regular file: files are kept as they are")
            return {}
        start = self.git.index_file({path: (entry.mode, entry.oid) for path, entry in chosen.items()})
        attributes = self._attributes(changed, start)
        converted: dict[bytes, str] = {}
        textual = []
        for path, raw in changed.items():
            has = attributes.get(path, {})
            if self.config.lfs and has.get(b"filter") == b"lfs":
                converted |= self._lfs_file(path, raw)
            elif any(
                has.get(name) not in (None, b"unset", b"unspecified")
                for name in (b"text", b"crlf", b"eol", b"ident", b"working-tree-encoding")
            ):
                textual.append(path)
        return converted | self._textual(textual, changed, attributes, start)

    def _attributes(self, paths: Iterable[bytes], index: bytes) -> dict[bytes, dict[bytes, bytes]]:
        names = ("text", "crlf", "eol", "ident", "working-tree-encoding", "filter")
        answer = self.git.run(
            "check-attr", "-z", "--stdin", *names, stdin=b"".join(path + b"\0" for path in paths), tree=self.root, index=index
        )
        words = answer.split(b"\0")
        found: dict[bytes, dict[bytes, bytes]] = {}
        for path, name, value in zip(words[0::3], words[1::3], words[2::3], strict=False):
            found.setdefault(path, {})[name] = value
        return found

    def _textual(
        self, paths: Sequence[bytes], changed: Mapping[bytes, str], attributes: Mapping[bytes, Mapping[bytes, bytes]], index: bytes
    ) -> dict[bytes, str]:
        if not paths:
            return {}
        listing = b"".join(path + b"\0" for path in paths)
        try:
            self.git.run("update-index", "--add", "--replace", "-z", "--stdin", stdin=listing, tree=self.root, index=index)
            after = {entry.path: entry.oid for entry in parse_index(read_file(index, INDEX_BYTES) or b"", self.git.width)}
        except Trouble as problem:
            self.note(f"the rules of .gitattributes cannot be followed, so files are kept as they are: {problem}")
            return {}
        differing = {path: after[path] for path in paths if path in after and after[path] != changed[path]}
        contents = self.git.contents(differing.values())
        for path, oid in differing.items():
            try:
                bytes_on_disk = read_file((self.root or b"") + b"/" + path, self.config.limits.bundle_bytes) or b""
            except Trouble:
                bytes_on_disk = b""
            if not restores(contents.get(oid, b""), bytes_on_disk, attributes.get(path, {})):
                self.job.raw.setdefault(self.where, {})[path] = (REGULAR, changed[path])
        return differing

    def _lfs_file(self, path: bytes, raw: str) -> dict[bytes, str]:
        digest, size, start = hashlib.sha256(), 0, b""
        with open((self.root or b"") + b"/" + path, "rb") as file:
            while chunk := file.read(1 << 20):
                start = start or chunk[:100]
                digest.update(chunk)
                size += len(chunk)
        if size == 0 or (size < 1024 and start.startswith(b"version https://git-lfs.github.com/spec/")):
            return {}
        self.job.lfs.setdefault(self.where, {})[lfs_place(digest.hexdigest())] = (REGULAR, raw)
        return {path: self.git.add(b"blob", lfs_pointer(digest.hexdigest(), size))}

    def _save_lfs_store(self) -> None:
        """Contents that the agent's own git-lfs put aside, without those that the mirror has pointers to."""
        held = self.job.lfs.setdefault(self.where, {})
        store = self.folder + b"/lfs/objects" if self.folder is not None else b""
        files: dict[str, tuple[bytes, str]] = {}
        for path in _files_below(store, b".", self.damage) if store and os.path.isdir(store) else ():
            oid, whole = path.rsplit(b"/", 1)[-1].decode("utf-8", "replace"), store + b"/" + path
            if re.fullmatch(r"[0-9a-f]{64}", oid) and lfs_place(oid) not in held and kind_of(os.lstat(whole)) == FILE:
                pointer = lfs_pointer(oid, os.lstat(whole).st_size)
                files[hashlib.sha1(b"blob %d\0" % len(pointer) + pointer).hexdigest()] = (path, oid)
        known = self._in_mirror(files)
        new = {path: oid for pointer, (path, oid) in files.items() if pointer not in known}
        if new and sum(os.lstat(store + b"/" + path).st_size for path in new) > self.config.limits.bundle_bytes:
            self.job.incomplete("the LFS contents of the agent are beyond the limits and stay in the workspace")
        elif new:
            stored = self.git.hash_files(store, sorted(new))
            held |= {lfs_place(new[path]): (REGULAR, raw) for path, raw in stored.items()}
        if held:
            self._add("lfs", self._commit(self.git.tree(held), [], "LFS contents"), "LFS contents")
        raw = self.job.raw.get(self.where)
        if raw:
            self._add("raw", self._commit(self.git.tree(raw), [], "Files as they were on disk"), "files before text conversion")
            self.note(f"line ends or encoding of {len(raw)} files were converted as .gitattributes says; ref raw keeps their bytes")

    # commits of ours

    def _commit(self, tree: str, parents: Sequence[str], subject: str) -> str:
        who = f"{self.config.author[0]} <{self.config.author[1]}> {self.config.time} +0000"
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents), f"author {who}", f"committer {who}", "", subject]
        body = f"\nAIenv-Run: {plain_name(self.config.run_id)}\nAIenv-Task: {plain_name(self.config.task)}\n"
        return self.git.add(b"commit", ("\n".join(lines) + "\n" + body).encode("utf-8", "replace"))

    def _add(self, name: str, oid: str, origin: str) -> None:
        self.refs.append(Ref(name, oid, origin[:300]))

    def _commit_worktree(self, tree: Mapping[bytes, tuple[int, str]]) -> None:
        oid = self.git.tree(tree)
        parent = self.head or self.base
        if parent is None and not tree:
            return
        if parent is None or oid != self._tree_of(parent):
            self._set_worktree(oid, parent)

    def _set_worktree(self, tree: str, parent: str | None) -> None:
        self.worktree = self._commit(tree, [parent] if parent else [], f"Uncommitted work of run {plain_name(self.config.run_id)}")
        self.worktree_tree = tree
        self.uncommitted = True
        self.refs = [ref for ref in self.refs if ref.name != "worktree"]
        self._add("worktree", self.worktree, "files on disk")

    def _tree_of(self, commit: str) -> str | None:
        found = self.known.get(f"{commit}^{{tree}}")
        return found[0] if found else None

    def _worktree_alone(self, ignored: Mapping[bytes, bytes], rest: dict[bytes, tuple[int, str]]) -> None:
        """The files on disk on top of the base, with nothing taken from the agent's repository."""
        self.git.borrow(self.config.objects)
        try:
            tree = self._snapshot({}, ignored, 0) | rest
            self._set_worktree(self.git.tree(tree), self.base)
            self.git.reachable([self.worktree or ""], self.hosts)
        except Trouble as problem:
            self.job.incomplete(f"the files on disk cannot be brought out: {problem}")
        finally:
            self._borrow()

    def _save_index(self, staged: Mapping[bytes, tuple[int, str]], tree: Mapping[bytes, tuple[int, str]], entries: Sequence[Entry]) -> None:
        parents = [parent] if (parent := self.head or self.base) else []
        try:
            if staged != tree:
                oid = self.git.tree(staged)
                if oid != self.worktree_tree and not (parents and oid == self._tree_of(parents[0])):
                    self._add("index", self._commit(oid, parents, f"Staged work of run {plain_name(self.config.run_id)}"), "index")
            for stage in (1, 2, 3):
                side = {entry.path: (entry.mode, entry.oid) for entry in entries if entry.stage == stage and holdable(entry.path)}
                if side:
                    self._add(
                        f"conflict/{stage}",
                        self._commit(self.git.tree(side), parents, f"Unmerged files, stage {stage}"),
                        f"index, stage {stage}",
                    )
        except Trouble as problem:
            self.damage(f"the index cannot be brought out: {problem}")

    def _save_ignored(self, ignored: Mapping[bytes, bytes]) -> None:
        """Ignored files up to the limit, small groups first; the rest is named."""
        groups: dict[bytes, list[bytes]] = {}
        for path, group in ignored.items():
            groups.setdefault(group, []).append(path)
        sizes = {group: sum(self._size(path) for path in paths) for group, paths in groups.items()}
        left_bytes, left_files = self.config.limits.ignored_bytes, self.config.limits.files
        taken: list[bytes] = []
        for group in sorted(groups, key=lambda one: (sizes[one], one)):
            if sizes[group] > left_bytes or len(groups[group]) > left_files:
                self.note(f"ignored and not brought out: {show(group)} ({len(groups[group])} files, {sizes[group]} bytes)")
                continue
            left_bytes -= sizes[group]
            left_files -= len(groups[group])
            taken.extend(groups[group])
        facts = {path: facts for path in taken if (facts := self._facts(path)) is not None}
        if facts:
            tree = {path: (mode_of(facts[path]), oid) for path, oid in self._raw_objects(facts).items()}
            self._add("ignored", self._commit(self.git.tree(tree), [], "Ignored files"), "ignored files")

    def _raw_objects(self, facts: Mapping[bytes, os.stat_result]) -> dict[bytes, str]:
        oids = self._hash(sorted(path for path in facts if stat.S_ISREG(facts[path].st_mode)))
        links = (path for path in facts if stat.S_ISLNK(facts[path].st_mode))
        return oids | {path: self.git.add(b"blob", os.readlink((self.root or b"") + b"/" + path)) for path in links}

    def _size(self, path: bytes) -> int:
        try:
            return os.lstat((self.root or b"") + b"/" + path).st_size
        except OSError:
            return 0

    # refs

    def save_refs(self) -> None:
        """Refs ``head``, ``stash/N``, ``heads/``, ``tags/`` and ``other/``."""
        if self.head is not None and self.head != self.base:
            name = f"HEAD ({show(self.found.head_name)})" if self.found.head_name else "HEAD (detached)"
            self._add("head", self.head, name)
        for number, oid in enumerate(self.found.stash):
            if self._kind(oid) == "commit":
                self._add(f"stash/{number}", oid, f"stash@{{{number}}}: {self.found.spoken.get(oid, '')}")
            else:
                self.damage(f"stash@{{{number}}} cannot be read")
        self._named_refs()

    def _named_refs(self) -> None:
        foreign = {oid for name, oid in self.found.refs.items() if not name.startswith((b"refs/heads/", b"refs/stash"))}
        known = self._in_mirror(foreign)
        taken: set[str] = set()
        folders: set[str] = set()
        names: list[Ref] = []
        for name, oid in sorted(self.found.refs.items()):
            begun = not self.where and self.config.known_refs.get(name) == oid
            if begun or name == b"refs/stash" or oid == self.base or (oid in known and not name.startswith(b"refs/heads/")):
                continue
            if self._kind(oid) is None:
                self.damage(f"ref {show(name)} names {oid}, which cannot be read")
                continue
            if self._kind(oid) != "commit" and f"{oid}^{{commit}}" not in self.known:
                continue  # a ref to a file or a folder: brought out with the loose ends
            names.append(Ref(unique(group_of(name), taken, folders), oid, show(name)))
        if len(names) > REFS:
            self.damage(f"{len(names)} refs: their names stay in the raw copy, their commits are parents of lost/bunch commits")
            self._bunch([ref.oid for ref in names if self._kind(ref.oid) == "commit"])
        else:
            self.refs.extend(names)

    def _bunch(self, tips: Iterable[str]) -> None:
        tree = self.git.add(b"tree", b"")
        distinct = sorted(set(tips))
        for start in range(0, len(distinct), BUNCH):
            number = sum(ref.name.startswith("lost/bunch-") for ref in self.refs)
            self._add(f"lost/bunch-{number}", self._commit(tree, distinct[start : start + BUNCH], "Many tips"), f"{len(distinct)} tips")

    def _in_mirror(self, oids: Iterable[str]) -> set[str]:
        """Those objects that the host has anyway."""
        asked = set(oids)
        known: set[str] = set()
        for store in self.config.objects if asked else ():
            known.update(self.git.check(asked - known, store=store))
        return known

    def check_refs(self) -> set[str]:
        """Drop refs whose history is not whole; what all others need, as a set of objects."""
        try:
            return self.git.reachable((ref.oid for ref in self.refs), self.hosts) if self.refs else set()
        except Trouble as problem:
            self.damage(f"history is damaged: {problem}")
        sound = self._sound(sorted({ref.oid for ref in self.refs}), [100])
        self._drop(sound)
        return self.git.reachable((ref.oid for ref in self.refs), self.hosts) if self.refs else set()

    def _drop(self, sound: set[str]) -> None:
        """Keep only refs to ``sound`` objects, and a work tree in any case."""
        lost_worktree = self.worktree is not None and self.worktree not in sound
        for ref in self.refs:
            if ref.oid not in sound and ref.name != "worktree":
                self.damage(f"{ref.name} ({ref.origin}) at {ref.oid} is not whole and stays in the raw copy")
        self.refs = [ref for ref in self.refs if ref.oid in sound]
        if self.head is not None and self.head not in sound and self.head != self.base:
            self.found = self.found._replace(head=None)
        if lost_worktree:
            self._worktree_alone({}, self._masked_base())

    def _sound(self, tips: Sequence[str], tries: list[int]) -> set[str]:
        if not tips or tries[0] <= 0:
            return set()
        tries[0] -= 1
        try:
            self.git.reachable(tips, self.hosts)
            return set(tips)
        except Trouble:
            if len(tips) == 1:
                return set()
        half = len(tips) // 2
        return self._sound(tips[:half], tries) | self._sound(tips[half:], tries)

    # loose ends

    def save_lost(self, covered: set[str]) -> None:
        """Refs ``lost/N`` and ``lost/objects``: everything in the agent's own object folders that no ref above leads to."""
        if self.linked:
            return
        own: set[str] = set()
        for store in self.shadows:
            own |= objects_in(store, self.git.width)
        left = own - covered - {empty_object(b"blob", self.git.width), empty_object(b"tree", self.git.width)}
        left -= self._in_mirror(left)
        if left and self.base:
            left -= self.git.reachable([self.base], []) if len(left) > 1000 or not self.config.objects else set()
        if not left:
            return
        info = self.git.check(left)
        if len(info) < len(left):
            self.damage(f"{len(left) - len(info)} loose objects cannot be read")
        left = self._lost_commits({oid: kind for oid, (_, kind) in info.items()})
        self._lost_objects(left, info)

    def _lost_commits(self, kinds: Mapping[str, str]) -> set[str]:
        """Name the tips among unreachable commits and tags; what remains unreached."""
        named = [oid for oid, kind in kinds.items() if kind in ("commit", "tag")]
        texts = self.git.contents(named)
        if len(texts) < len(named):
            self.damage(f"{len(named) - len(texts)} loose commits cannot be read")
        inner = {
            word for text in texts.values() for word in re.findall(r"^(?:parent|object) ([0-9a-f]{40,64})$", header_of(text), re.MULTILINE)
        }
        tips = sorted(oid for oid in texts if oid not in inner)
        tips = sorted(self._sound(tips, [200])) if tips else []
        reached = self.git.reachable(tips, self.hosts) if tips else set()
        commits = [oid for oid in texts if oid not in reached]
        if commits:
            self.damage(f"{len(commits)} loose commits are not whole and stay in the raw copy")
        ordered = sorted(tips, key=lambda oid: (oid not in self.found.spoken, oid))
        for number, oid in enumerate(ordered[:REFS]):
            self._add(f"lost/{number}", oid, self.found.spoken.get(oid, "unreachable"))
        self._bunch(oid for oid in ordered[REFS:] if kinds[oid] == "commit")
        return {oid for oid in kinds if oid not in reached}

    def _lost_objects(self, left: set[str], info: Mapping[str, tuple[str, str]]) -> None:
        trees = self.git.contents(oid for oid in left if info[oid][1] == "tree")
        inner: set[str] = set()
        fit: list[str] = []
        for oid, data in trees.items():
            try:
                lines = list(parse_tree(data, self.git.width))
            except Trouble:
                continue
            inner.update(child for _, _, child in lines)
            if all(holdable(name) for _, name, _ in lines):
                fit.append(oid)
        tops = sorted(self._sound(sorted(oid for oid in fit if oid not in inner), [200]))
        reached = self.git.reachable(tops, []) if tops else set()
        blobs = sorted(oid for oid in left if info[oid][1] == "blob" and oid not in reached)
        if any(oid not in reached for oid in trees):
            self.damage("some loose folders are not whole and stay in the raw copy")
        items = []
        if blobs:
            items.append(b"40000 blobs\0" + bytes.fromhex(self._flat(b"100644", blobs)))
        if tops:
            items.append(b"40000 trees\0" + bytes.fromhex(self._flat(b"40000", tops)))
        if items:
            tree = self.git.add(b"tree", b"".join(items))
            self._add(
                "lost/objects",
                self._commit(tree, [], "Files and folders that nothing refers to"),
                f"{len(blobs)} files, {len(tops)} folders",
            )

    def _flat(self, mode: bytes, oids: Iterable[str]) -> str:
        return self.git.add(b"tree", b"".join(mode + b" " + oid.encode() + b"\0" + bytes.fromhex(oid) for oid in oids))

    # the bundle

    def write_bundle(self, path: bytes) -> bool:
        """All refs as one bundle; False when the host has everything already.

        Raises:
            Trouble: not even the work tree can be packed, or the bundle is too large.
        """
        if not self.refs or not self._news():
            return False
        try:
            self._pack(path)
        except Trouble as problem:
            self.damage(f"objects are damaged: {problem}")
            self._drop({oid for oid in sorted({ref.oid for ref in self.refs})[:200] if self._packs(oid)})
            if not self.refs or not self._news():
                return False
            self._pack_rest(path)
        size = os.stat(path).st_size
        if size > self.config.limits.bundle_bytes:
            os.unlink(path)
            raise Trouble(f"the bundle would have {size} bytes, more than {self.config.limits.bundle_bytes}")
        return True

    def _news(self) -> bool:
        return bool(self.git.reachable((ref.oid for ref in self.refs), self.hosts))

    def _pack(self, path: bytes) -> None:
        lines = sorted(f"{ref.oid} {OUT.decode()}{ref.name}\n" for ref in self.refs)
        self.git._write(b"packed-refs", "".join(lines).encode())
        self.git.run("bundle", "create", "--quiet", path, "--all", *(f"^{oid}" for oid in self.hosts))

    def _packs(self, oid: str) -> bool:
        asked = "".join((f"{oid}\n", *(f"^{one}\n" for one in self.hosts))).encode()
        try:
            self.git.run("pack-objects", "--revs", "--stdout", "--thin", "-q", stdin=asked, sink=subprocess.DEVNULL)
        except Trouble:
            return False
        return True

    def _pack_rest(self, path: bytes) -> None:
        try:
            self._pack(path)
        except Trouble:
            self.refs = [ref for ref in self.refs if ref.name == "worktree"]
            self.git.borrow(self.config.objects)
            self._pack(path)

    @property
    def changed(self) -> bool:
        return bool(self.refs)


def choose(entries: Iterable[Entry]) -> dict[bytes, Entry]:
    """One entry per path: the merged one, else ours, theirs, the common one."""
    rank = {0: 0, 2: 1, 3: 2, 1: 3}
    chosen: dict[bytes, Entry] = {}
    for entry in entries:
        held = chosen.get(entry.path)
        if held is None or rank[entry.stage] < rank[held.stage]:
            chosen[entry.path] = entry
    return {path: entry if entry.stage == 0 else entry._replace(stamp=None) for path, entry in chosen.items()}


def head_of(folder: bytes) -> str | None:
    return read_git_folder(folder, lambda _: None).head


def header_of(commit: bytes) -> str:
    return commit.partition(b"\n\n")[0].decode("utf-8", "replace")


def lfs_place(oid: str) -> bytes:
    return f"{oid[:2]}/{oid[2:4]}/{oid}".encode()


def group_of(name: bytes) -> str:
    """``refs/heads/x`` -> ``heads/x``; refs that are neither branch nor tag go below ``other``."""
    rest = name[len(b"refs/") :]
    return safe_ref(rest) if rest.startswith((b"heads/", b"tags/")) else "other/" + safe_ref(rest)


def unique(name: str, taken: set[str], folders: set[str]) -> str:
    """``name``, changed until it neither equals nor encloses nor lies below a name that was given out before."""
    group, _, rest = name.partition("/")
    number = 1
    while name in taken or name in folders or not taken.isdisjoint(folders_of(name)):
        number += 1
        name = f"{group}/{rest.replace('/', '%2F')}-{number}"
    taken.add(name)
    folders.update(folders_of(name))
    return name


def folders_of(name: str) -> list[str]:
    return [name[:cut] for cut in range(len(name)) if name[cut] == "/"]


def restores(blob: bytes, on_disk: bytes, attributes: Mapping[bytes, bytes]) -> bool:
    """Whether a checkout under ``attributes`` gives the bytes on disk back from ``blob``."""
    text = blob
    encoding = attributes.get(b"working-tree-encoding", b"unspecified")
    if attributes.get(b"ident") == b"set":
        return False
    if attributes.get(b"eol") == b"crlf":
        text = text.replace(b"\n", b"\r\n")
    if encoding not in (b"unspecified", b"unset", b"set"):
        try:
            text = text.decode("utf-8").encode(encoding.decode("ascii"))
        except (UnicodeError, LookupError):
            return False
    return text == on_disk


# ---------------------------------------------------------------------------------------------------------------------------------------
# the whole harvest


class Job:
    """One harvest: the workspace's repository, those nested in it, artifacts, what had to be salvaged, and the manifest."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.ends = time.monotonic() + config.deadline_s
        self.notes: list[str] = []
        self.unreadable: list[str] = []
        self.complete = True
        self.raw: dict[bytes, dict[bytes, tuple[int, str]]] = {}
        self.lfs: dict[bytes, dict[bytes, tuple[int, str]]] = {}
        self._salvage: list[tuple[bytes, bytes]] = []
        self.nested: list[dict[str, str | None]] = []
        self.taken: list[dict[str, Any]] = []
        self._scratches: list[bytes] = []

    # notes

    def note(self, text: str) -> None:
        if len(self.notes) < NOTES:
            self.notes.append(text[:NOTE_CHARS])
        elif len(self.notes) == NOTES:
            self.notes.append("more notes were left out")

    def incomplete(self, text: str) -> None:
        """Something exists only in the workspace, so the workspace must stay."""
        self.complete = False
        self.note(text)

    def unreadable_path(self, where: bytes, path: bytes) -> None:
        whole = show(where + b"/" + path if where else path)
        if whole not in self.unreadable and len(self.unreadable) < NOTES:
            self.unreadable.append(whole)
            self.incomplete(f"{whole} cannot be read")

    def salvage(self, root: bytes, path: bytes, where: bytes) -> None:
        """Keep ``root/path`` raw."""
        self._salvage.append((root + b"/" + path, b"workspace/" + (where + b"/" if where else b"") + path))

    # steps

    def run(self) -> dict[str, Any]:
        """Everything in order; the manifest."""
        config = self.config
        root = config.workspace
        folder = git_folder_of(root)
        if folder is None:
            self.note(".git is missing or no repository: the files alone are brought out")
        main = Repo(self, root, folder, config.base, b"", self._scratch(), linked=False)
        bundle = self._bring_out(main, config.outbox + b"/result.bundle")
        self._keep_git(main, root + b"/.git", b"git")
        self._nested_repositories(main)
        self._attempt("artifacts", self._artifacts)
        salvaged = bool(self._attempt("salvage.tar", self._write_salvage))
        result = main.worktree or main.head or config.base
        return {
            "version": MANIFEST_VERSION,
            "run_id": config.run_id,
            "task": config.task,
            "object_format": "sha256" if main.git.width == 32 else "sha1",
            "base": config.base,
            "head": main.head,
            "result": result,
            "branch": show(main.found.head_name) if main.found.head_name else None,
            "uncommitted": main.uncommitted,
            "complete": self.complete,
            "bundle": bundle,
            "salvage": salvaged,
            "refs": [
                {
                    "name": ref.name,
                    "commit": ref.oid,
                    "origin": show(os.fsencode(ref.origin)) if not ref.origin.isprintable() else ref.origin,
                }
                for ref in main.refs
            ],
            "nested": self.nested,
            "artifacts": self.taken,
            "unreadable": self.unreadable,
            "notes": self.notes,
        }

    def _scratch(self) -> bytes:
        folder = self.config.outbox + b"/tmp.%d.git" % len(self._scratches)
        self._scratches.append(folder)
        return folder

    def clear(self) -> None:
        """Remove what is not part of the result."""
        import shutil

        for folder in self._scratches:
            shutil.rmtree(folder, ignore_errors=True)

    def _attempt(self, what: str, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except (Trouble, OSError, ValueError, struct.error) as problem:
            self.incomplete(f"{what}: {problem}")
            return None

    def _bring_out(self, repo: Repo, path: bytes) -> bool:
        def guarded(what: str, step: Callable[[], Any]) -> Any:
            try:
                return step()
            except (Trouble, OSError, ValueError, struct.error) as problem:
                repo.damage(f"{what}: {problem}")
                return None

        self._attempt("the work tree", repo.save_worktree)
        guarded("refs", repo.save_refs)
        covered = guarded("history", repo.check_refs)
        guarded("loose ends", lambda: repo.save_lost(covered or set()))
        before = self.complete
        written = self._attempt(os.fsdecode(os.path.basename(path)), lambda: repo.write_bundle(path))
        if written is None and before and not self.complete:
            repo.refs = []
        return bool(written)

    def _keep_git(self, repo: Repo, place: bytes, name: bytes) -> None:
        """The raw git folder when something of it could not be read, else what is in it that is not git's."""
        if os.path.lexists(place) and (repo.folder is None or repo.hurt):
            if repo.folder is not None and os.path.realpath(place) != repo.folder:
                self._salvage.append((repo.folder, name + b".folder"))
            self._salvage.append((place, name))
        elif repo.folder is not None and not repo.linked:
            for entry in sorted(os.listdir(repo.folder)):
                if entry not in GIT_OWN and not entry.endswith(b".lock") and kind_at(repo.folder, entry) in (FILE, FOLDER):
                    self._salvage.append((repo.folder + b"/" + entry, name + b"/" + entry))
                    repo.note(f".git/{show(entry)} is not git's own and lies in salvage.tar")

    # nested repositories

    def _nested_repositories(self, main: Repo) -> None:
        pending = [(b"", path) for path in main.disk.nested]
        visited = {main.folder, common_folder(main.folder) if main.folder else None}
        self._attempt("nested repositories", lambda: self._visit(main, pending, visited))
        modules = main.folder + b"/modules" if main.folder else b""
        for folder in list(module_folders(modules)) if modules and os.path.isdir(modules) else ():
            if folder not in visited and len(self.nested) < NESTED:
                visited.add(folder)
                begun = self._begun_at(main, folder)
                self._one_nested(main, None, folder, b".git" + folder[len(main.folder or b"") :], begun, linked=False)

    def _begun_at(self, main: Repo, folder: bytes) -> str | None:
        """The commit at which a submodule that has lost its work tree was checked out: the one of the base's submodules that it holds."""
        links = {oid for mode, oid in main.git.listed(main.base).values() if mode == GITLINK} if main.base else set()
        head = head_of(folder)
        return head if head in links else None

    def _visit(self, main: Repo, pending: list[tuple[bytes, bytes]], visited: set[bytes | None]) -> None:
        bases = main.git.listed(main.base, [path for _, path in pending]) if main.base and pending else {}
        while pending:
            outer, path = pending.pop(0)
            where = outer + b"/" + path if outer else path
            if len(self.nested) >= NESTED:
                self.salvage(self.config.workspace, where, b"")
                self.note(f"{show(where)}: one of more than {NESTED} nested repositories, kept raw in salvage.tar")
                continue
            folder = git_folder_of(self.config.workspace + b"/" + where)
            linked = folder is not None and common_folder(folder) in visited
            visited.add(folder)
            base = bases[where][1] if where in bases and bases[where][0] == GITLINK else None
            repo = self._one_nested(main, self.config.workspace + b"/" + where, folder, where, base, linked)
            if repo is not None:
                pending.extend((where, inner) for inner in repo.disk.nested)

    def _one_nested(
        self, main: Repo, root: bytes | None, folder: bytes | None, where: bytes, base: str | None, linked: bool
    ) -> Repo | None:
        if folder is None:
            return None
        number = b"%04d" % (len(self.nested) + 1)
        os.makedirs(self.config.outbox + b"/nested", exist_ok=True)
        known = base if base is not None and main._in_mirror([base]) else None
        try:
            repo = Repo(self, root, folder, known, where, self._scratch(), linked)
            written = self._bring_out(repo, self.config.outbox + b"/nested/" + number + b".bundle")
        except (Trouble, OSError, ValueError, struct.error) as problem:
            self.note(f"{show(where)}: kept raw in salvage.tar: {problem}")
            self._salvage.append((root if root is not None else folder, b"nested/" + number))
            self.nested.append({"path": show(where), "bundle": None, "note": f"kept raw: {problem}"[:NOTE_CHARS]})
            return None
        self._keep_git(repo, (root + b"/.git") if root is not None else folder, b"nested/" + number + b"/git")
        if base is not None and not written and not repo.hurt:
            return repo
        if base is None and not linked and not repo.hurt:
            self._salvage.extend((folder + b"/" + name, b"nested/" + number + b"/git/" + name) for name in own_settings(folder))
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
        self.nested.append(
            {"path": show(where), "bundle": f"nested/{number.decode()}.bundle" if written else None, "note": f"{kind}: {tips}"}
        )
        return repo

    # artifacts

    def _artifacts(self) -> None:
        left = self.config.limits.artifact_bytes
        seen: set[bytes] = set()
        for pattern in self.config.artifacts:
            matched = sorted(matches(self.config.workspace, pattern))
            if not matched:
                self.note(f"no file matches the artifact pattern {show(pattern)}")
            for path in matched:
                if path in seen or self._masked(self.config.workspace + b"/" + path):
                    continue
                seen.add(path)
                size = os.lstat(self.config.workspace + b"/" + path).st_size
                if size > left or len(seen) > self.config.limits.files:
                    self.note(f"artifact {show(path)} ({size} bytes) is beyond the limit")
                    continue
                if self._copy_artifact(path):
                    left -= size
                    self.taken.append({"path": show(path), "bytes": size})

    def _copy_artifact(self, path: bytes) -> bool:
        target = self.config.outbox + b"/artifacts/" + path
        try:
            handle = os.open(self.config.workspace + b"/" + path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as problem:
            self.note(f"artifact {show(path)}: {problem.strerror}")
            return False
        with os.fdopen(handle, "rb") as source:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as sink:
                while chunk := source.read(1 << 20):
                    sink.write(chunk)
        return True

    # what git cannot carry

    def _write_salvage(self) -> bool:
        if not self._salvage:
            return False
        import tarfile

        left = self.config.limits.bundle_bytes
        written: set[bytes] = set()
        with tarfile.open(os.fsdecode(self.config.outbox + b"/salvage.tar"), "w", format=tarfile.PAX_FORMAT) as tar:
            for source, name in self._salvage:
                for path, kind in everything_below(source):
                    arcname = name + path[len(source) :]
                    if arcname in written or self._masked(path):
                        continue
                    written.add(arcname)
                    if kind == CLOSED:
                        self._closed(path)
                        continue
                    try:
                        facts = os.lstat(path)
                        if facts.st_size > left:
                            self.incomplete(f"{show(arcname)} is beyond the limit of salvage.tar and stays in the workspace")
                            continue
                        if kind != OTHER:
                            tar.add(os.fsdecode(path), os.fsdecode(arcname), recursive=False)
                            left -= facts.st_size if kind == FILE else 0
                    except OSError:
                        self._closed(path)
        return True

    def _masked(self, path: bytes) -> bool:
        """Whether ``path`` below the workspace was hidden from the agent, there or where it lay before."""
        inside = path[len(self.config.workspace) + 1 :]
        if below(inside, self.config.masked):
            return True
        while self.config.masked_inodes and inside:
            try:
                if os.lstat(self.config.workspace + b"/" + inside).st_ino in self.config.masked_inodes:
                    return True
            except OSError:
                return False
            inside = inside.rpartition(b"/")[0]
        return False

    def _closed(self, path: bytes) -> None:
        self.unreadable_path(b"", path[len(self.config.workspace) + 1 :])


def own_settings(folder: bytes) -> list[bytes]:
    """Files of a nested git folder that somebody may have written by hand."""
    names = [b"config"] if kind_at(folder, b"config") == FILE else []
    hooks = folder + b"/hooks"
    if os.path.isdir(hooks) and not os.path.islink(hooks):
        names.extend(b"hooks/" + name for name in sorted(os.listdir(hooks)) if not name.endswith(b".sample"))
    return names


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


def everything_below(path: bytes) -> Iterator[tuple[bytes, str]]:
    """``path`` and all below it with their kinds, links not followed; what cannot be looked at is ``CLOSED``."""
    pending = [path]
    while pending:
        here = pending.pop()
        try:
            kind = kind_of(os.lstat(here))
            names = sorted(os.listdir(here), reverse=True) if kind == FOLDER else []
        except OSError:
            yield here, CLOSED
            continue
        yield here, kind
        pending.extend(here + b"/" + name for name in names)


def matches(root: bytes, pattern: bytes) -> Iterator[bytes]:
    """Regular files that a pattern names: ``*`` within one part, ``**`` any number of parts; a matching folder stands for all below it."""
    parts = [part for part in pattern.split(b"/") if part not in (b"", b".")]
    if b".." in parts or not parts:
        return
    yield from _matches(root, b"", parts)


def _matches(root: bytes, here: bytes, parts: Sequence[bytes]) -> Iterator[bytes]:
    if not parts:
        for path, kind in everything_below(root + b"/" + here):
            if kind == FILE and b".git" not in path[len(root) + 1 :].split(b"/"):
                yield path[len(root) + 1 :]
        return
    first, rest = parts[0], parts[1:]
    if first == b"**":
        yield from _matches(root, here, rest or [b"*"])
    try:
        with os.scandir(root + b"/" + here if here else root) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in listed:
        path = here + b"/" + entry.name if here else entry.name
        if entry.name == b".git" or entry.is_symlink():
            continue
        folder = entry.is_dir(follow_symlinks=False)
        if first == b"**":
            if folder:
                yield from _matches(root, path, parts)
        elif fnmatch.fnmatchcase(entry.name, first) and (folder or not rest):
            yield from _matches(root, path, rest)


def write_manifest(outbox: bytes, manifest: Mapping[str, Any]) -> None:
    """Last of all, so that its presence says that the rest is there."""
    path = outbox + b"/manifest.json"
    with open(path + b".new", "w", encoding="utf-8", errors="backslashreplace") as file:
        json.dump(manifest, file, sort_keys=True, ensure_ascii=True)
        file.flush()
        os.fsync(file.fileno())
    os.rename(path + b".new", path)


def main(arguments: Sequence[str]) -> int:
    with open(arguments[0], "rb") as file:
        config = config_from(file.read())
    os.umask(0o077)
    job = Job(config)
    try:
        write_manifest(config.outbox, job.run())
    except (Trouble, OSError, ValueError, struct.error, RecursionError, MemoryError) as problem:
        print(f"harvest: {problem}", file=sys.stderr)
        return 1
    finally:
        job.clear()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
