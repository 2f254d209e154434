"""The build context: a tar whose Dockerfile is taken out, judged, and put back as it was judged. Pure but for the spool it is given.

The whole archive is written anew while it is read, into the spool; what is sent is the spool with the Dockerfile in its place. So the
engine's reader sees one Dockerfile, a plain file, reached through folders that are folders.
"""

from collections.abc import Iterator
from typing import IO

from orchestrator.guard.calls import deny
from orchestrator.guard.dockerfile import MAX_BYTES
from orchestrator.guard.tarstream import END, STEP, Member, Symlinks, TarReader, Unpacker, clean, header, padding, refuse

MAX_CONTEXT_BYTES = 8 << 30
DEFAULT = b"Dockerfile"


class ContextReader:
    """``dockerfile``: its path in the context. Feed, finish, judge what that gives, write."""

    def __init__(self, dockerfile: str, spool: IO[bytes], most_bytes: int = MAX_CONTEXT_BYTES) -> None:
        self._path = clean(dockerfile.encode(errors="surrogateescape"))
        parts = self._path.split(b"/")
        self._above = {b"/".join(parts[:count]) for count in range(1, len(parts))}
        self._spool = spool
        self._unpacker = Unpacker()
        self._reader = TarReader(self, most_bytes)
        self._symlinks = Symlinks()
        self._size = 0  # of the spool
        self._at: int | None = None  # where the Dockerfile goes
        self._dockerfile: Member | None = None
        self._lower: Member | None = None  # the engine takes dockerfile where there is no Dockerfile
        self._text, self._lower_text = bytearray(), bytearray()
        self._into: bytearray | None = None
        self._kept = True  # whether the member goes into the spool
        self._member: Member | None = None

    def feed(self, data: bytes) -> None:
        """Raises Denied: the archive is not one that everybody reads alike, or is too large."""
        for piece in self._unpacker.feed(data):
            self._reader.feed(piece)

    def finish(self) -> bytes:
        """The Dockerfile's text.

        Raises:
            Denied: there is none, or the archive is cut off.
        """
        for piece in self._unpacker.finish():
            self._reader.feed(piece)
        self._reader.finish()
        if self._dockerfile is not None:
            return bytes(self._text)
        if self._path == DEFAULT and self._lower is not None:
            self._dockerfile, self._at = self._lower, self._size
            return bytes(self._lower_text)
        shown = self._path.decode(errors="replace")[:80]
        raise deny("build.dockerfile-missing", f"there is no {shown!r} in the build context", field="dockerfile", status=400)

    def length(self, rewritten: bytes) -> int:
        return self._size + len(self._inserted(rewritten)) + len(END)

    def write(self, rewritten: bytes) -> Iterator[bytes]:
        """The archive to send, with ``rewritten`` as its Dockerfile."""
        assert self._at is not None
        self._spool.flush()
        self._spool.seek(0)
        left = self._at
        for size, after in ((left, self._inserted(rewritten)), (self._size - left, END)):
            while size:
                piece = self._spool.read(min(STEP, size))
                if not piece:
                    raise OSError("the spool is shorter than what was written into it")
                size -= len(piece)
                yield piece
            yield after

    def _inserted(self, rewritten: bytes) -> bytes:
        assert self._dockerfile is not None
        old = self._dockerfile
        member = Member(self._path, "file", old.mode, old.uid, old.gid, len(rewritten), old.mtime)
        return header(member) + rewritten + bytes(padding(len(rewritten)))

    # what the reader calls

    def begin(self, member: Member) -> None:
        self._judge_place(member)
        self._kept = member.name != self._path
        self._into = None
        self._member = member
        if not self._kept:
            if member.kind != "file":
                raise deny("build.dockerfile", f"the Dockerfile is a {member.kind}", field="dockerfile", allowed="a plain file", status=400)
            self._dockerfile, self._at = member, self._size
            self._into = self._text = bytearray()
        elif member.kind == "file" and self._path == DEFAULT and member.name == DEFAULT.lower():
            self._lower = member
            self._into = self._lower_text = bytearray()
        if self._kept:
            self._store(header(member))

    def content(self, data: memoryview) -> None:
        if self._into is not None:
            if len(self._into) + len(data) > MAX_BYTES:
                raise deny("build.dockerfile-large", f"the Dockerfile is larger than {MAX_BYTES // 1024} KiB", status=413)
            self._into += data
        if self._kept:
            self._store(data)

    def end(self) -> None:
        if self._kept and self._member is not None:
            self._store(bytes(padding(self._member.size)))

    def _store(self, data: bytes | memoryview) -> None:
        self._spool.write(data)
        self._size += len(data)

    def _judge_place(self, member: Member) -> None:
        self._symlinks.judge(member)
        if member.name in self._above and member.kind != "dir":
            refuse(f"reaches the Dockerfile through {member.name[:80]!r}, which is no folder")
