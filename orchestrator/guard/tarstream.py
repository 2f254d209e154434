"""Tar archives as they stream by: members in, our own headers out, so that the engine reads what was judged. Pure.

Plain tar comes in (what ``packing`` unpacks) and goes out. Of a member its name, kind, mode, owner, time, size and link go on; extended
attributes, device nodes, sparse files and global headers do not.
"""

from dataclasses import dataclass
from typing import Literal, NoReturn, Protocol

from orchestrator.guard.calls import deny
from orchestrator.guard.packing import STEP, Unpacker

Kind = Literal["file", "dir", "link", "symlink", "fifo"]

BLOCK = 512
END = bytes(2 * BLOCK)
MAX_MEMBERS = 1_000_000
MAX_EXTENDED = 256 << 10  # larger than any that is written, and read within one step
MAX_PATH = 4096
MAX_SYMLINK_BYTES = 32 << 20  # of their names, which are kept

_ZERO = bytes(BLOCK)
_KINDS: dict[bytes, Kind] = {b"0": "file", b"\0": "file", b"7": "file", b"1": "link", b"2": "symlink", b"5": "dir", b"6": "fifo"}
_FLAGS: dict[Kind, bytes] = {"file": b"0", "link": b"1", "symlink": b"2", "dir": b"5", "fifo": b"6"}
_DEVICES = (b"3", b"4")
_OCTAL_LIMIT = 0o7777777  # seven digits; beyond it a PAX record says the number
_SIZE_LIMIT = 0o77777777777


@dataclass(frozen=True, slots=True)
class Member:
    """``name``: clean, relative, without a slash at its end; empty: the root. ``target``: of a link: clean, too; of a symlink: as it is."""

    name: bytes
    kind: Kind
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    target: bytes = b""


class Out(Protocol):
    """Where what is written anew goes. A ``memoryview`` is gone after the call."""

    def write(self, data: bytes | memoryview, /) -> object: ...


class Sink(Protocol):
    """What is done with the members. ``content`` gets views that are gone after the call."""

    def begin(self, member: Member) -> None: ...

    def content(self, data: memoryview) -> None: ...

    def end(self) -> None: ...


def refuse(problem: str, status: int = 400) -> NoReturn:
    raise deny("archive", f"the archive {problem}", status=status)


def clean(name: bytes) -> bytes:
    """Raises Denied: it leads out of the archive."""
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if not parts:
                refuse(f"holds {name[:80]!r}, which leads out of it")
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)


class Symlinks:
    """Below a symlink, members would land elsewhere: on the Dockerfile, say. A hard link to a symlink is one more symlink."""

    def __init__(self) -> None:
        self._names: set[bytes] = set()
        self._room = MAX_SYMLINK_BYTES

    def judge(self, member: Member) -> None:
        """Raises Denied: the member stands below a symlink that came before it."""
        name = member.name
        if self._leads_through(name):
            refuse(f"has {name[:80]!r} below a symlink")
        again = member.kind == "link" and (member.target in self._names or self._leads_through(member.target))
        self._names.discard(name)
        if member.kind == "symlink" or again:
            self._room -= len(name)
            if self._room < 0:
                refuse("has too many symlinks", 413)
            self._names.add(name)

    def _leads_through(self, name: bytes) -> bool:
        if self._names:
            end = name.rfind(b"/")
            while end > 0:
                if name[:end] in self._names:
                    return True
                end = name.rfind(b"/", 0, end)
        return False


class TarReader:
    """Bytes in pieces of any size -> calls of a ``Sink``. ``most_bytes``: of the whole archive, headers counted."""

    def __init__(self, sink: Sink, most_bytes: int) -> None:
        self._sink = sink
        self._room = most_bytes
        self._most = most_bytes
        self._head = bytearray()
        self._left = 0  # of the content
        self._pad = 0
        self._zeros = 0
        self._members = 0
        self._extended: bytearray | None = None  # content of an extended header, while it is read
        self._extended_kind = b""
        self._records: dict[bytes, bytes] = {}

    def feed(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        self._room -= len(view)
        if self._room < 0:
            refuse(f"is larger than {self._most >> 20} MiB when it is unpacked", 413)
        position = 0
        while position < len(view):
            if self._zeros == 2:
                if bytes(view[position:]).strip(b"\0"):
                    refuse("goes on after its end")
                return
            if self._left:
                step = min(self._left, len(view) - position)
                self._take(view[position : position + step])
            elif self._pad:
                step = min(self._pad, len(view) - position)
                self._pad -= step
            else:
                step = min(BLOCK - len(self._head), len(view) - position)
                self._head += view[position : position + step]
                if len(self._head) == BLOCK:
                    block = bytes(self._head)
                    self._head.clear()
                    self._block(block)
            position += step

    def finish(self) -> None:
        if self._zeros != 2 or self._left or self._records:
            refuse("is cut off" if self._members or self._head or self._left else "is empty, or no tar")

    def _take(self, data: memoryview) -> None:
        self._left -= len(data)
        if self._extended is None:
            self._sink.content(data)
        else:
            self._extended += data
        if not self._left:
            if self._extended is None:
                self._sink.end()
            else:
                self._extension(bytes(self._extended))
                self._extended = None

    def _block(self, block: bytes) -> None:
        if block == _ZERO:
            if self._records:
                refuse("ends after an extended header")
            self._zeros += 1
            return
        if self._zeros:
            refuse("goes on after a block of zeros")
        if _number(block[148:156]) != sum(block) - sum(block[148:156]) + 8 * 32:
            refuse("has a header whose checksum is wrong, or is no tar")
        flag, size = block[156:157], _number(block[124:136])
        self._members += 1
        if self._members > MAX_MEMBERS:
            refuse(f"has more than {MAX_MEMBERS} members", 413)
        if flag in b"xgLK" and flag:
            if size > MAX_EXTENDED or size == 0:
                refuse("has an extended header that is too long, or empty")
            self._extended, self._extended_kind = bytearray(), flag
            self._left, self._pad = size, -size % BLOCK
            return
        member = self._member(block, flag, size)
        self._left, self._pad = member.size, -member.size % BLOCK
        self._sink.begin(member)
        if not member.size:
            self._sink.end()

    def _extension(self, data: bytes) -> None:
        if self._extended_kind in b"LK":
            self._records[b"path" if self._extended_kind == b"L" else b"linkpath"] = data.partition(b"\0")[0]
            return
        records = _pax(data)
        if self._extended_kind == b"x":
            self._records |= records
        elif set(records) - {b"comment"}:  # git archive writes that one
            refuse("has a global header that changes what follows")

    def _member(self, block: bytes, flag: bytes, size: int) -> Member:
        records, self._records = self._records, {}
        kind = _KINDS.get(flag)
        if flag in _DEVICES:
            raise deny("archive.device", "the archive holds a device")
        if flag == b"S" or any(key.startswith(b"GNU.sparse.") for key in records):
            refuse("holds a sparse file")
        if kind is None:
            refuse(f"holds a member of the kind {flag!r}")
        magic = block[257:265]
        if magic not in (b"ustar\x0000", b"ustar  \0") and magic.strip(b"\0"):
            refuse("is of a format that is not known here")
        name = block[:100].partition(b"\0")[0]
        if magic == b"ustar\x0000":
            if block[508:512] == b"tar\0":
                refuse("is of a format that is not known here")
            prefix = block[345:500].partition(b"\0")[0]
            name = prefix + b"/" + name if prefix else name
        name = records.get(b"path") or name
        target = records.get(b"linkpath") or block[157:257].partition(b"\0")[0]
        if flag == b"\0" and name.endswith(b"/"):
            kind = "dir"
        if b"size" in records:
            size = _decimal(records[b"size"])
        if kind != "file" and size:
            refuse(f"has content in {name[:80]!r}, which is no file")
        if b"\0" in name or b"\0" in target or len(name) > MAX_PATH or len(target) > MAX_PATH:
            refuse("has a name that is too long, or holds a NUL")
        found = clean(name)
        if not found and kind != "dir":
            refuse(f"has a member {name[:80]!r} that is no folder")
        if kind == "link":
            target = clean(target)
        uid, gid = _owner(records.get(b"uid"), block[108:116]), _owner(records.get(b"gid"), block[116:124])
        mode, mtime = _number(block[100:108]) & 0o7777, min(_number(block[136:148]), _SIZE_LIMIT)
        return Member(found, kind, mode, uid, gid, size, mtime, target if kind in ("link", "symlink") else b"")


def header(member: Member) -> bytes:
    """The blocks before a member's content."""
    name = member.name or b"."
    if member.kind == "dir":
        name += b"/"
    records = b"".join(
        _record(key, value)
        for key, value, needed in (
            (b"path", name, len(name) > 100),
            (b"linkpath", member.target, len(member.target) > 100),
            (b"uid", b"%d" % member.uid, member.uid > _OCTAL_LIMIT),
            (b"gid", b"%d" % member.gid, member.gid > _OCTAL_LIMIT),
            (b"size", b"%d" % member.size, member.size > _SIZE_LIMIT),
        )
        if needed
    )
    block = _plain_header(member, name, _FLAGS[member.kind])
    if not records:
        return block
    long = Member(b"extended", "file", size=len(records))
    return _plain_header(long, long.name, b"x") + records + bytes(padding(len(records))) + block


def padding(size: int) -> int:
    return -size % BLOCK


def _plain_header(member: Member, name: bytes, flag: bytes) -> bytes:
    start = b"".join((
        name[:100].ljust(100, b"\0"),
        b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (
            member.mode, min(member.uid, _OCTAL_LIMIT), min(member.gid, _OCTAL_LIMIT), min(member.size, _SIZE_LIMIT), member.mtime,
        ),
    ))  # fmt: skip
    rest = flag + member.target[:100].ljust(100, b"\0") + b"ustar\x0000" + bytes(BLOCK - 265)
    return start + b"%06o\0 " % (sum(start) + sum(rest) + 8 * 32) + rest


def _record(key: bytes, value: bytes) -> bytes:
    """A PAX record counts its own length."""
    size = len(key) + len(value) + 3
    digits = len(str(size))
    while len(str(size + digits)) != digits:
        digits += 1
    return b"%d %b=%b\n" % (size + digits, key, value)


def _pax(data: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    start = 0
    while start < len(data):
        length, blank, _ = data[start : start + 12].partition(b" ")
        end = start + _decimal(length)
        key, equals, value = data[start + len(length) + 1 : end - 1].partition(b"=")
        if not blank or end > len(data) or data[end - 1 : end] != b"\n" or not equals or not key or b"\0" in key:
            refuse("has an extended header that cannot be read")
        found[key] = value
        start = end
    return found


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 15:
        refuse("has a number that cannot be read")
    return int(text)


def _owner(record: bytes | None, field: bytes) -> int:
    return min(_decimal(record) if record else max(0, _number(field)), (1 << 31) - 1)


def _number(field: bytes) -> int:
    """Octal, or base 256 as GNU writes large numbers."""
    if field[:1] and field[0] & 0x80:
        if field[0] != 0x80 or any(field[1:-8]):
            refuse("has a number that is too large or negative")
        return int.from_bytes(field[-8:].lstrip(b"\x80")[-8:], "big") & ((1 << 62) - 1)
    text = field.strip(b" \0")
    if text.strip(b"01234567"):
        refuse("has a number that cannot be read, or is no tar")
    return int(text or b"0", 8)


__all__ = [
    "END", "STEP", "Kind", "Member", "Out", "Sink", "Symlinks", "TarReader", "Unpacker", "clean", "header", "padding", "refuse",
]  # fmt: skip
