"""Archives of ``docker load``: whatever names they give to images must be free ones. Pure but for the spool it is given.

Docker's own form (manifest.json) and what newer engines write beside it (index.json of the OCI layout, repositories). The archive is
written anew while it is read, and its three tables from what was judged.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from orchestrator.guard.calls import Json, Object, deny
from orchestrator.guard.imagenames import canonical
from orchestrator.guard.strictjson import parse
from orchestrator.guard.tarstream import END, STEP, Member, Symlinks, TarReader, Unpacker, clean, header, padding, refuse

MAX_ARCHIVE_BYTES = 16 << 30
MAX_TABLE_BYTES = 1 << 20
MAX_CONFIG_BYTES = 4 << 20
MAX_IMAGES = 64
MAX_DIGESTS = 20_000

MANIFEST, INDEX, REPOSITORIES = b"manifest.json", b"index.json", b"repositories"
_TABLES = (MANIFEST, INDEX, REPOSITORIES)
_MANIFEST_KEYS = frozenset(["Config", "RepoTags", "Layers", "Parent", "LayerSources"])
_NAME, _TAG = "io.containerd.image.name", "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True)
class Loaded:
    """``names``: canonical; the rim asks for each whether it is free (``images.free_tag``). ``ids``: of all images in the archive, named or
    not: one that the engine has already, and that is not the session's, does not become the session's by being loaded."""

    names: tuple[str, ...]
    ids: tuple[str, ...]


class ArchiveReader:
    """Feed, finish, judge what that gives, write."""

    def __init__(self, spool: IO[bytes], most_bytes: int = MAX_ARCHIVE_BYTES) -> None:
        self._spool = spool
        self._unpacker = Unpacker()
        self._reader = TarReader(self, most_bytes)
        self._size = 0
        self._member: Member | None = None
        self._table: bytearray | None = None
        self._hash = hashlib.sha256()
        self._hashed = False
        self._symlinks = Symlinks()
        self._digests: dict[bytes, str] = {}
        self._tables: dict[bytes, Json] = {}

    def feed(self, data: bytes) -> None:
        """Raises Denied: it is no archive, or too large."""
        for piece in self._unpacker.feed(data):
            self._reader.feed(piece)

    def finish(self) -> Loaded:
        """Raises Denied: it has no table of images, or one that cannot be judged."""
        for piece in self._unpacker.finish():
            self._reader.feed(piece)
        self._reader.finish()
        if MANIFEST not in self._tables:
            raise deny("archive.manifest", "the archive has no manifest.json", allowed="what docker save writes", status=400)
        images = _images(self._tables[MANIFEST])
        names = [name for image in images for name in image.tags]
        names += _repositories(self._tables.get(REPOSITORIES, {}))
        names += _annotated(self._tables.get(INDEX, {}))
        ids = []
        for image in images:
            digest = self._digests.get(clean(image.config.encode()))
            if digest is None:
                raise deny(
                    "archive.manifest", f"the archive lacks the configuration {image.config[:80]!r}, or it is no plain file", status=400
                )
            ids.append(f"sha256:{digest}")
        return Loaded(tuple(dict.fromkeys(map(canonical, names))), tuple(dict.fromkeys(ids)))

    @property
    def length(self) -> int:
        return self._size + len(END)

    def write(self) -> Iterator[bytes]:
        self._spool.flush()
        self._spool.seek(0)
        left = self._size
        while left:
            piece = self._spool.read(min(STEP, left))
            if not piece:
                raise OSError("the spool is shorter than what was written into it")
            left -= len(piece)
            yield piece
        yield END

    # what the reader calls

    def begin(self, member: Member) -> None:
        self._judge_place(member)
        self._member, self._table, self._hashed = member, None, False
        if member.name in _TABLES:
            if member.kind != "file" or member.name in self._tables or member.size > MAX_TABLE_BYTES:
                refuse(f"has {member.name.decode()!r} twice, or not as a small file")
            self._table = bytearray()
            return  # it is written when it has been judged
        if member.kind == "file" and member.size <= MAX_CONFIG_BYTES:
            self._hash, self._hashed = hashlib.sha256(), True
        if member.name in self._digests:
            refuse(f"has {member.name[:80]!r} twice")
        self._store(header(member))

    def content(self, data: memoryview) -> None:
        if self._table is not None:
            self._table += data
            return
        if self._hashed:
            self._hash.update(data)
        self._store(data)

    def end(self) -> None:
        assert self._member is not None
        member = self._member
        if self._table is not None:
            value = parse(bytes(self._table), any_top=True)
            self._tables[member.name] = value
            text = json.dumps(value, separators=(",", ":")).encode()
            new = Member(member.name, "file", member.mode, member.uid, member.gid, len(text), member.mtime)
            self._store(header(new) + text + bytes(padding(len(text))))
            return
        if self._hashed:
            if len(self._digests) >= MAX_DIGESTS:
                refuse("has too many small files", 413)
            self._digests[member.name] = self._hash.hexdigest()
        self._store(bytes(padding(member.size)))

    def _store(self, data: bytes | memoryview) -> None:
        self._spool.write(data)
        self._size += len(data)

    def _judge_place(self, member: Member) -> None:
        self._symlinks.judge(member)
        if member.kind == "fifo":
            refuse("holds a pipe")
        if member.kind == "symlink":  # older engines write layers that are the same as links
            clean(member.name.rpartition(b"/")[0] + b"/" + member.target)
            if member.target.startswith(b"/"):
                refuse(f"has a symlink out of it: {member.name[:80]!r}")


@dataclass(frozen=True, slots=True)
class _Image:
    config: str
    tags: tuple[str, ...]


def _images(manifest: Json) -> list[_Image]:
    if not isinstance(manifest, list) or len(manifest) > MAX_IMAGES:
        raise deny("archive.manifest", f"manifest.json is no list of at most {MAX_IMAGES} images", status=400)
    return [_image(item) for item in manifest]


def _image(item: Json) -> _Image:
    if not isinstance(item, dict) or set(item) - _MANIFEST_KEYS:
        raise deny(
            "archive.manifest",
            "manifest.json holds something that is not known here",
            allowed=", ".join(sorted(_MANIFEST_KEYS)),
            status=400,
        )
    config, tags = item.get("Config"), item.get("RepoTags") or []
    if not isinstance(config, str) or not isinstance(tags, list):
        raise deny("archive.manifest", "manifest.json has an image without Config, or RepoTags that are no list", status=400)
    return _Image(config, tuple(map(_text, tags)))


def _repositories(table: Json) -> list[str]:
    """``{"busybox": {"latest": "<id of a layer>"}}``"""
    if not isinstance(table, dict):
        raise deny("archive.manifest", "repositories is no table", status=400)
    found = []
    for name, tags in table.items():
        if not isinstance(tags, dict):
            raise deny("archive.manifest", "repositories is no table of tables", status=400)
        found += [f"{name}:{tag}" for tag in tags]
    return found


def _annotated(value: Json) -> list[str]:
    """Names in annotations, wherever they stand; in whatever case."""
    if isinstance(value, list):
        return [name for item in value for name in _annotated(item)]
    if not isinstance(value, dict):
        return []
    keys: Object = {key.casefold(): item for key, item in value.items()}
    found = [_text(keys[_NAME])] if _NAME in keys else []
    if _TAG in keys and _NAME not in keys:
        raise deny("archive.manifest", "index.json gives a tag without a whole name", allowed=f"{_NAME} beside it", status=400)
    return found + [name for item in value.values() for name in _annotated(item)]


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise deny("archive.manifest", "the archive has a name that is no text", status=400)
    return value
