"""Archives of ``docker load``: passed on as they come, written anew, but for the table of images, which is held back, judged, and put at
the end. Pure.

The engine takes a layer that it has from its own store, by the digest that the configuration names, without a look at what is in the
archive. So an image passes only when the archive holds the content of each of its layers. What goes on is plain files, and one table of
what was judged; links are followed here, and what newer engines write beside manifest.json (index.json, repositories) is left out.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.guard.calls import Json, deny
from orchestrator.guard.contents import Content, Found
from orchestrator.guard.imagenames import canonical
from orchestrator.guard.loaded import Image, images_of, layers_of
from orchestrator.guard.packing import Bound
from orchestrator.guard.strictjson import MAX_BYTES, parse
from orchestrator.guard.tarstream import END, Member, Out, TarReader, Unpacker, clean, header, padding, refuse

MAX_ARCHIVE_BYTES = 16 << 30
MAX_MEMBERS, MAX_NAME, MAX_DEPTH = 20_000, 512, 8  # all names are kept in mind
MAX_KEPT_BYTES = 64 << 20  # of what could be configurations

MANIFEST = b"manifest.json"
_LEFT_OUT = frozenset([b"index.json", b"oci-layout", b"repositories"])


@dataclass(frozen=True, slots=True)
class Loaded:
    """``names``: canonical; the rim asks for each whether it is free (``images.free_tag``). ``ids``: of all images in the archive, named or
    not: one that the engine has already, and that is not the session's, does not become the session's by being loaded."""

    names: tuple[str, ...]
    ids: tuple[str, ...]


class ArchiveReader:
    """Feed, finish, judge what that gives, send the tail. ``own_labels``: what images of this session may say under our names.

    ``out`` gets everything but the tables while it is fed: whoever feeds it drains it.
    """

    def __init__(self, out: Out, own_labels: Mapping[str, str], most_bytes: int = MAX_ARCHIVE_BYTES) -> None:
        self._out = out
        self._own_labels = own_labels
        self._unpacker = Unpacker()
        self._reader = TarReader(self, most_bytes)
        self._bound = Bound(most_bytes)  # of what all packed layers unpack to
        self._room = MAX_KEPT_BYTES
        self._places = _Places()
        self._files: dict[bytes, Found] = {}
        self._links: dict[bytes, bytes] = {}
        self._waiting: list[Iterator[None]] = []  # layers to unpack, which takes time
        self._member: Member | None = None
        self._content: Content | None = None  # of a file that goes on
        self._table: bytearray | None = None  # manifest.json, once it came
        self._judged: list[Json] = []  # what it says, as it goes on

    def feed(self, data: bytes) -> Iterator[None]:
        """Yields after each small step. Raises Denied: it is no archive, or too large."""
        for piece in self._unpacker.feed(data):
            self._reader.feed(piece)
            yield
            for steps in self._waiting:
                yield from steps
            self._waiting.clear()

    def finish(self) -> Loaded:
        """Raises Denied: it has no table of images, one that cannot be judged, or an image that is not whole."""
        for piece in self._unpacker.finish():
            self._reader.feed(piece)
        self._reader.finish()
        if self._table is None:
            raise deny("archive.manifest", "the archive has no manifest.json", allowed="what docker save writes", status=400)
        images = images_of(parse(bytes(self._table), any_top=True))
        ids = [self._judge(image) for image in images]
        for image in images:
            if image.parent and image.parent not in ids:
                raise deny("archive.parent", f"an image has the parent {image.parent[:80]!r}, which is not in the archive")
        names = [canonical(tag) for image in images for tag in image.tags]
        return Loaded(tuple(dict.fromkeys(names)), tuple(dict.fromkeys(ids)))

    def tail(self) -> bytes:
        """What is left to send."""
        text = json.dumps(self._judged, separators=(",", ":")).encode()
        return header(Member(MANIFEST, "file", size=len(text))) + text + bytes(padding(len(text))) + END

    def _judge(self, image: Image) -> str:
        path, config = self._file(image.config)
        if config is None or config.text is None:
            raise deny("archive.manifest", f"the archive lacks the configuration {image.config[:80]!r}, or it is no plain file", status=400)
        wanted = layers_of(config.text, self._own_labels)
        if len(wanted) != len(image.layers):
            raise deny("archive.layers", f"manifest.json names {len(image.layers)} layers of an image that has {len(wanted)}", status=400)
        layers: list[Json] = []
        for name, digest in zip(image.layers, wanted, strict=True):
            at, layer = self._file(name)
            if layer is None or digest not in (layer.digest, layer.unpacked):
                raise deny(
                    "archive.layers",
                    f"the layer {digest[:80]!r} of an image is not in the archive under {name[:80]!r}",
                    allowed="archives that hold all layers of their images, as docker save writes them",
                )
            layers.append(at.decode())
        self._judged.append({"Config": path.decode(), "RepoTags": [canonical(tag) for tag in image.tags] or None, "Layers": layers})
        return config.digest

    def _file(self, name: str) -> tuple[bytes, Found | None]:
        path = clean(name.encode())
        path = self._links.get(path, path)
        return path, self._files.get(path)

    # what the reader calls

    def begin(self, member: Member) -> None:
        self._places.judge(member)
        self._member, self._content = member, None
        if member.kind == "file":
            self._begin_file(member)
        elif member.kind == "dir":
            self._out.write(header(member))
        elif member.kind == "link":
            self._links[member.name] = self._links.get(member.target, member.target)
        elif member.kind == "symlink":  # older engines write a layer that was there before as a link to it
            if member.target.startswith(b"/"):
                refuse(f"has a symlink out of it: {member.name[:80]!r}")
            self._links[member.name] = clean(member.name.rpartition(b"/")[0] + b"/" + member.target)
        else:
            refuse("holds a pipe")

    def _begin_file(self, member: Member) -> None:
        if member.name in _LEFT_OUT:
            return
        if member.name == MANIFEST:
            if member.size > MAX_BYTES:
                refuse(f"has a manifest.json of more than {MAX_BYTES >> 20} MiB", 413)
            self._table = bytearray()
            return
        self._content = Content(self._bound, may_keep=member.size <= MAX_BYTES)
        self._out.write(header(member))

    def content(self, data: memoryview) -> None:
        assert self._member is not None
        if self._content is not None:
            self._out.write(data)
            if steps := self._content.add(data):
                self._waiting.append(steps)
        elif self._member.name == MANIFEST and self._table is not None:
            self._table += data

    def end(self) -> None:
        assert self._member is not None
        if self._content is None:
            return
        self._out.write(bytes(padding(self._member.size)))
        found, steps = self._content.end()
        if steps:
            self._waiting.append(steps)
        self._room -= len(found.text or b"")
        if self._room < 0:
            refuse("has too many small files", 413)
        self._files[self._member.name] = found


class _Places:
    """What stands where: no two members at one place, nothing below what is no folder."""

    def __init__(self) -> None:
        self._folders: set[bytes] = {b""}
        self._others: set[bytes] = set()
        self._count = 0

    def judge(self, member: Member) -> None:
        """Raises Denied."""
        name = member.name
        self._count += 1
        if self._count > MAX_MEMBERS or len(name) > MAX_NAME or name.count(b"/") > MAX_DEPTH:
            refuse("has more members, or longer names, than docker save writes", 413)
        if name in self._others or (name in self._folders and member.kind != "dir"):
            refuse(f"has {name[:80]!r} twice")
        (self._folders if member.kind == "dir" else self._others).add(name)
        while name:
            name = name.rpartition(b"/")[0]
            if name in self._others:
                refuse(f"has {member.name[:80]!r} below what is no folder")
            self._folders.add(name)
