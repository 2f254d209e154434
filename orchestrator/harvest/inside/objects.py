"""Objects without git: where the agent keeps them, their names, and the trees and listings that name others."""

import hashlib
import os
import re
import struct
from collections.abc import Iterator

from orchestrator.harvest.inside.files import read_file
from orchestrator.harvest.inside.index import INDEX_BYTES
from orchestrator.harvest.inside.words import Trouble, is_oid

STORES = 16  # object folders of one repository
OBJECTS = 500_000  # in the agent's own store; above, loose ends are not looked for and .git is kept raw


def object_stores(folder: bytes, common: bytes) -> tuple[list[bytes], list[bytes]]:
    """Object folders of the agent, in order of search, alternates included as far as they exist; and those that are not searched."""
    stores: list[bytes] = []
    beyond: list[bytes] = []
    pending = [os.path.realpath(common + b"/objects"), os.path.realpath(folder + b"/objects")]
    while pending:
        store = pending.pop(0)
        if store in stores or store in beyond or not os.path.isdir(store):
            continue
        if len(stores) == STORES or b"\n" in store or store.startswith(b'"'):
            beyond.append(store)  # git would not take such a name from a list
            continue
        stores.append(store)
        try:
            text = read_file(store + b"/info/alternates") or b""
        except Trouble:
            continue
        pending.extend(os.path.realpath(os.path.join(store, line)) for line in text.split(b"\n") if line and line[:1] != b"#")
    return stores, beyond


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
            names.update(pack_names(read_file(os.path.realpath(store + b"/pack/" + pack), INDEX_BYTES) or b"", width))
        if len(names) > OBJECTS:
            break
    if len(names) > OBJECTS:
        raise Trouble(f"more than {OBJECTS} objects of the agent's own")
    return names


def pack_names(data: bytes, width: int) -> Iterator[str]:
    """The objects that a pack index names.

    Raises:
        Trouble: damaged.
    """
    start, step, skip = (8, width, 0) if data[:8] == b"\377tOc\0\0\0\2" else (0, width + 4, 4)
    if len(data) < start + 1024:
        raise Trouble("a pack index is damaged")
    (count,) = struct.unpack_from(">I", data, start + 1020)
    start += 1024 + skip
    if len(data) < start + count * step - skip:
        raise Trouble("a pack index is damaged")
    for position in range(start, start + count * step, step):
        yield data[position : position + width].hex()


def parse_listing(data: bytes) -> Iterator[tuple[bytes, tuple[int, str]]]:
    """path -> (mode, object), of what our ``ls-tree -z`` prints."""
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


def object_name(kind: bytes, data: bytes, width: int) -> str:
    return (hashlib.sha1 if width == 20 else hashlib.sha256)(kind + b" %d\0" % len(data) + data).hexdigest()


def empty_object(kind: bytes, width: int) -> str:
    return object_name(kind, b"", width)


def header_of(commit: bytes) -> str:
    return commit.partition(b"\n\n")[0].decode("utf-8", "replace")
