"""The index, the list of what is staged: parsed as git wrote it, and built anew for our own repository. Pure."""

import hashlib
import os
import stat
import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from orchestrator.harvest.inside.words import Trouble, show

REGULAR, EXECUTABLE, SYMLINK, GITLINK = 0o100644, 0o100755, 0o120000, 0o160000

INDEX_BYTES = 512 * 1024 * 1024  # of the index of a work tree, or of a pack


class Entry(NamedTuple):
    """One line of an index, without the time stamps: whoever wrote the index can forge them."""

    path: bytes
    mode: int
    oid: str
    stage: int
    absent_ok: bool  # skip-worktree: the file may be absent without being deleted
    planned: bool  # intent to add: only the name is staged


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
    (mode,) = struct.unpack_from(">I", data, start + 24)
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
    return Entry(path, mode, oid, (flags >> 12) & 3, bool(extended & 0x4000), bool(extended & 0x2000)), position


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


def mode_of(facts: os.stat_result) -> int:
    if stat.S_ISLNK(facts.st_mode):
        return SYMLINK
    return EXECUTABLE if facts.st_mode & stat.S_IXUSR else REGULAR


def choose(entries: Iterable[Entry]) -> dict[bytes, Entry]:
    """One entry per path: the merged one, else ours, theirs, the common one."""
    rank = {0: 0, 2: 1, 3: 2, 1: 3}
    chosen: dict[bytes, Entry] = {}
    for entry in entries:
        held = chosen.get(entry.path)
        if held is None or rank[entry.stage] < rank[held.stage]:
            chosen[entry.path] = entry
    return chosen
