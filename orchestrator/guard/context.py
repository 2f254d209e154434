"""The build context: passed on as it comes, written anew, but for the Dockerfile, which is held back, judged, and put at the end. Pure.

The engine reads the whole archive before it does anything, and one that is cut off it does not use at all (measured). So a context that
is refused when most of it has gone is cut off there. The engine's reader takes the last member of a name: ours, a plain file, reached
through folders that are folders.
"""

from collections.abc import Iterator

from orchestrator.guard.calls import deny
from orchestrator.guard.dockerfile import MAX_BYTES
from orchestrator.guard.tarstream import END, Member, Out, Symlinks, TarReader, Unpacker, clean, header, padding, refuse

MAX_CONTEXT_BYTES = 8 << 30
DEFAULT = b"Dockerfile"


class ContextReader:
    """``dockerfile``: its path in the context. Feed, finish, judge what that gives, send the tail.

    ``out`` gets everything else while it is fed: whoever feeds it drains it.
    """

    def __init__(self, dockerfile: str, out: Out, most_bytes: int = MAX_CONTEXT_BYTES) -> None:
        self._path = clean(dockerfile.encode(errors="surrogateescape"))
        parts = self._path.split(b"/")
        self._above = {b"/".join(parts[:count]) for count in range(1, len(parts))}
        self._out = out
        self._unpacker = Unpacker()
        self._reader = TarReader(self, most_bytes)
        self._symlinks = Symlinks()
        # The engine takes dockerfile where there is no Dockerfile, so neither is there before it was judged.
        self._hold = (self._path, DEFAULT.lower()) if self._path == DEFAULT else (self._path,)
        self._held: dict[bytes, tuple[Member, bytearray]] = {}
        self._into: bytearray | None = None  # content of the member that is read, where it is held back
        self._left_out = False
        self._member: Member | None = None

    def feed(self, data: bytes) -> Iterator[None]:
        """Yields after each small step. Raises Denied: the archive is not one that everybody reads alike, or is too large."""
        for piece in self._unpacker.feed(data):
            self._reader.feed(piece)
            yield

    def finish(self) -> bytes:
        """The Dockerfile's text.

        Raises:
            Denied: there is none, or the archive is cut off.
        """
        for piece in self._unpacker.finish():
            self._reader.feed(piece)
        self._reader.finish()
        found = self._dockerfile()
        if found is None:
            shown = self._path.decode(errors="replace")[:80]
            raise deny("build.dockerfile-missing", f"there is no {shown!r} in the build context", field="dockerfile", status=400)
        return bytes(found[1])

    def tail(self, rewritten: bytes) -> bytes:
        """What is left to send, with ``rewritten`` as the Dockerfile."""
        found = self._dockerfile()
        assert found is not None
        others = (_whole(path, member, bytes(text)) for path, (member, text) in self._held.items() if path != self._path)
        return b"".join((*others, _whole(self._path, found[0], rewritten), END))

    def _dockerfile(self) -> tuple[Member, bytearray] | None:
        return next((self._held[path] for path in self._hold if path in self._held), None)

    # what the reader calls

    def begin(self, member: Member) -> None:
        self._judge_place(member)
        self._member, self._into, self._left_out = member, None, False
        if member.name == self._path and member.kind != "file":
            raise deny("build.dockerfile", f"the Dockerfile is a {member.kind}", field="dockerfile", allowed="a plain file", status=400)
        if member.name in self._hold:
            self._held.pop(member.name, None)
            if member.kind == "file":
                self._into = bytearray()
                self._held[member.name] = member, self._into
                return
        if member.kind == "link" and member.target in self._held:  # to what is not there yet: a file of its own
            old, text = self._held[member.target]
            self._out.write(_whole(member.name, old, bytes(text)))
            self._left_out = True
            return
        self._out.write(header(member))

    def content(self, data: memoryview) -> None:
        if self._into is None:
            self._out.write(data)
            return
        if len(self._into) + len(data) > MAX_BYTES:
            raise deny("build.dockerfile-large", f"the Dockerfile is larger than {MAX_BYTES // 1024} KiB", status=413)
        self._into += data

    def end(self) -> None:
        assert self._member is not None
        if self._into is None and not self._left_out:
            self._out.write(bytes(padding(self._member.size)))

    def _judge_place(self, member: Member) -> None:
        self._symlinks.judge(member)
        if member.name in self._above and member.kind != "dir":
            refuse(f"reaches the Dockerfile through {member.name[:80]!r}, which is no folder")


def _whole(path: bytes, old: Member, text: bytes) -> bytes:
    member = Member(path, "file", old.mode, old.uid, old.gid, len(text), old.mtime)
    return header(member) + text + bytes(padding(len(text)))
