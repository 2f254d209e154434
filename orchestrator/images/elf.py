"""Just enough of ELF to move programs to another place: what they need, which loader they name, which paths they hold.

Every change keeps the length of what it replaces, so no offset in the file moves and no table must be written again.
Only 64-bit little-endian files are understood. Every offset that is read from a file is checked against its end.
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_MAGIC = b"\x7fELF\x02\x01\x01"
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM = struct.Struct("<IIQQQQQQ")
_DYNAMIC = struct.Struct("<qQ")
_LOAD, _DYN, _INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_STRSZ = 0, 1, 5, 10
_MAX_SEGMENTS, _MAX_DYNAMIC = 256, 4096

MACHINES = {"x86_64": 62, "aarch64": 183}

Data = bytes | mmap.mmap  # a program of hundreds of MiB is mapped, not read


class ElfError(ValueError):
    """The file is not an ELF file that we understand, or lacks what must be there."""


@dataclass(frozen=True, slots=True)
class Segment:
    kind: int
    offset: int
    address: int
    size: int  # in the file


@dataclass(frozen=True, slots=True)
class Elf:
    """``interpreter``: (offset, room with the final NUL, path), None for a library or a static program."""

    machine: int
    segments: tuple[Segment, ...]
    interpreter: tuple[int, int, str] | None
    needed: tuple[str, ...]


def is_elf(data: bytes) -> bool:
    return data[:4] == _MAGIC[:4]


def parse(data: Data) -> Elf:
    """Read the parts above.

    Raises:
        ElfError: another format, or an offset or size that does not fit.
    """
    if data[: len(_MAGIC)] != _MAGIC or len(data) < _HEADER.size:
        raise ElfError("not a 64-bit little-endian ELF file")
    header = _HEADER.unpack_from(data)
    machine, table, entry_size, count = header[2], header[5], header[9], header[10]
    if entry_size != _PROGRAM.size or not 0 < count <= _MAX_SEGMENTS:
        raise ElfError("an odd program header table")
    segments = tuple(_segment(data, table + index * entry_size) for index in range(count))
    return Elf(machine, segments, _interpreter(data, segments), tuple(_needed(data, segments)))


def with_interpreter(data: Data, path: str) -> bytes:
    """The same program with another loader.

    Raises:
        ElfError: it names no loader, or the new path is longer than the old one.
    """
    offset, new = interpreter_change(parse(data), path)
    return data[:offset] + new + data[offset + len(new) :]


def interpreter_change(elf: Elf, path: str) -> tuple[int, bytes]:
    """The same as what to write where.

    Raises:
        ElfError: it names no loader, or the new path is longer than the old one.
    """
    if elf.interpreter is None:
        raise ElfError("the file names no loader")
    offset, room, _ = elf.interpreter
    new = path.encode()
    if len(new) >= room:
        raise ElfError(f"the loader's path {path!r} needs {len(new) + 1} bytes, there is room for {room}")
    return offset, new.ljust(room, b"\0")


def redirected(data: bytes, old: str, new: str) -> bytes:
    """Replace the string ``old``, everywhere where it stands alone between NUL bytes, by ``new`` of the same length.

    Raises:
        ElfError: ``old`` does not occur, or the lengths differ.
    """
    before, after = b"\0" + old.encode() + b"\0", b"\0" + new.encode() + b"\0"
    if len(before) != len(after):
        raise ElfError(f"{new!r} is not as long as {old!r}")
    if before not in data:
        raise ElfError(f"the file does not hold the string {old!r}")
    return data.replace(before, after)


def stretched(path: str, length: int) -> str:
    """``path`` with slashes doubled after its first folder until it is ``length`` characters long; it names the same file.

    Raises:
        ElfError: it is longer already.
    """
    if len(path) > length:
        raise ElfError(f"{path!r} is longer than {length}")
    head, slash, tail = path[1:].partition("/")
    return f"/{head}{slash * (length - len(path) + 1)}{tail}"


def _segment(data: Data, at: int) -> Segment:
    kind, _, offset, address, _, size, _, _ = _PROGRAM.unpack(_slice(data, at, _PROGRAM.size))
    return Segment(kind, offset, address, size)


def _slice(data: Data, offset: int, size: int) -> bytes:
    if offset < 0 or size < 0 or offset + size > len(data):
        raise ElfError(f"{size} bytes at {offset} lie outside of the file")
    return data[offset : offset + size]


def _interpreter(data: Data, segments: tuple[Segment, ...]) -> tuple[int, int, str] | None:
    found = [segment for segment in segments if segment.kind == _INTERP]
    if not found:
        return None
    raw = _slice(data, found[0].offset, found[0].size)
    path = raw.rstrip(b"\0")  # one NUL from the linker, more after a shorter path of ours
    if len(found) > 1 or len(path) == len(raw) or b"\0" in path:
        raise ElfError("an odd loader path")
    return found[0].offset, len(raw), _text(path)


def _needed(data: Data, segments: tuple[Segment, ...]) -> Iterator[str]:
    dynamic = next((segment for segment in segments if segment.kind == _DYN), None)
    if dynamic is None:
        return
    table = _slice(data, dynamic.offset, dynamic.size)
    entries: list[tuple[int, int]] = []
    for index in range(min(len(table) // _DYNAMIC.size, _MAX_DYNAMIC)):
        tag, value = _DYNAMIC.unpack_from(table, index * _DYNAMIC.size)
        if tag == _DT_NULL:
            break
        entries.append((tag, value))
    values = dict(reversed(entries))
    names = [value for tag, value in entries if tag == _DT_NEEDED]
    if not names:
        return
    if _DT_STRTAB not in values or _DT_STRSZ not in values:
        raise ElfError("a dynamic section without strings")
    strings = _slice(data, _file_offset(segments, values[_DT_STRTAB]), values[_DT_STRSZ])
    for offset in names:
        end = strings.find(b"\0", offset)
        if not 0 <= offset < len(strings) or end < 0:
            raise ElfError("a library name outside of the string table")
        yield _text(strings[offset:end])


def _file_offset(segments: tuple[Segment, ...], address: int) -> int:
    for segment in segments:
        if segment.kind == _LOAD and segment.address <= address < segment.address + segment.size:
            return address - segment.address + segment.offset
    raise ElfError(f"address {address:#x} lies in no segment")


def _text(raw: bytes) -> str:
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError:
        raise ElfError("a name that is not ASCII") from None
