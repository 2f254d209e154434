"""The agent's git folder, read without git: HEAD, loose and packed refs, reflogs, stashes."""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from orchestrator.harvest.inside.files import is_git_folder, read_file
from orchestrator.harvest.inside.objects import object_stores
from orchestrator.harvest.inside.words import Trouble, is_oid, show

REF_FILES = 200_000  # below refs or logs
LOG_BYTES = 16 * 1024 * 1024  # all reflogs together


class Found(NamedTuple):
    """What the agent's git folder says, parsed without git."""

    head_name: bytes | None
    head: str | None
    refs: dict[bytes, str]
    stash: list[str]
    spoken: dict[str, str]  # object -> what a reflog said of it
    stores: list[bytes]
    beyond: list[bytes]  # object folders that are too many to be searched


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
    return Found(head_name, head, refs, stash, spoken, *object_stores(folder, common))


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


def head_of(folder: bytes) -> str | None:
    """The commit that HEAD of a git folder names."""
    return read_git_folder(folder, lambda _: None).head


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
        if not line or line.startswith(b"# pack-refs with:") or (line[:1] == b"^" and is_oid(line[1:])):
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
    for name in sorted(files_below(common, b"refs", damaged)):
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


def files_below(root: bytes, folder: bytes, damaged: Callable[[str], None]) -> Iterator[bytes]:
    """Paths relative to ``root`` of all that is no folder, links not followed."""
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
    for name in sorted(files_below(common, b"logs", damaged)):
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
