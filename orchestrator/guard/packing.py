"""Packed archives: gzip, bzip2 and xz, unpacked in small steps and within bounds, however small the packed form was. Pure."""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Literal, NoReturn, Protocol

from orchestrator.guard.calls import deny

Packing = Literal["plain", "gzip", "bzip2", "xz"]

STEP = 256 << 10  # of what is unpacked at once: others wait that long
SLICE = 64 << 10  # of what is packed: each stream in it copies what is left of it
FREE_BYTES, MOST_RATIO = 64 << 20, 100
MAX_EMPTY = 16  # streams that hold nothing
XZ_MEMORY = 256 << 20
MAGIC_BYTES = 6


class _Stream(Protocol):
    """One stream of any packing, in the words of ``bz2``."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        out = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self.needs_input = len(out) < max_length and not self._inner.unconsumed_tail
        return out


_STREAMS: dict[Packing, Callable[[], _Stream]] = {
    "gzip": _Gzip,
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY),
}


class Bound:
    """How much may be unpacked, in all that share it. ``most_bytes``: however large the packed form is."""

    def __init__(self, most_bytes: int | None = None) -> None:
        self._most = most_bytes
        self._came = self._made = self._empty = 0

    def take(self, size: int) -> None:
        self._came += size

    def give(self, size: int) -> None:
        """Raises Denied."""
        self._made += size
        if self._made > FREE_BYTES + MOST_RATIO * self._came:
            _bomb(f"unpacks to more than {MOST_RATIO} times its size")
        if self._most is not None and self._made > self._most:
            raise deny("archive", f"what is packed in the archive unpacks to more than {self._most >> 20} MiB", status=413)

    def empty(self) -> None:
        """Raises Denied."""
        self._empty += 1
        if self._empty > MAX_EMPTY:
            _bomb("holds too many empty pieces")


class Unpacker:
    """Bytes as they came -> bytes of what was packed, in steps of at most ``STEP``. A step may be empty: it took time all the same."""

    def __init__(self, bound: Bound | None = None) -> None:
        self._bound = bound or Bound()
        self._start = b""
        self._kind: Packing | None = None
        self._stream: _Stream | None = None  # None: between two streams
        self._gave = False  # whether this stream gave something

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Raises Denied: what is packed is damaged, or a bomb."""
        if self._kind is None:
            self._start += data
            if len(self._start) < MAGIC_BYTES:
                return
            data, self._start = self._start, b""
            self._kind = packing(data)
        if self._kind == "plain":
            for start in range(0, len(data), STEP):
                yield data[start : start + STEP]
            return
        for start in range(0, len(data), SLICE):
            yield from self._unpack(data[start : start + SLICE])

    def finish(self) -> Iterator[bytes]:
        if self._start:
            yield self._start
        if self._stream is not None:
            raise deny("archive", "the archive is cut off", status=400)

    def _unpack(self, data: bytes) -> Iterator[bytes]:
        assert self._kind is not None
        self._bound.take(len(data))
        while True:
            if self._stream is None:
                if not data.strip(b"\0"):
                    return
                self._stream, self._gave = _STREAMS[self._kind](), False
            try:
                out = self._stream.decompress(data, STEP)
            except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError, MemoryError):
                raise deny("archive", f"the archive is no proper {self._kind}", status=400) from None
            self._bound.give(len(out))
            self._gave = self._gave or bool(out)
            yield out
            data = b""
            if self._stream.eof:
                data = self._stream.unused_data
                self._stream = None
                if not self._gave:
                    self._bound.empty()
            elif self._stream.needs_input or not out:  # nothing comes without more
                return


def _bomb(problem: str) -> NoReturn:
    raise deny(
        "archive.ratio",
        f"the archive {problem}",
        allowed=f"{FREE_BYTES >> 20} MiB and {MOST_RATIO} bytes for each packed one",
        status=413,
    )


def packing(start: bytes) -> Packing:
    """By the first ``MAGIC_BYTES``. Raises Denied: zstd, which cannot be read here."""
    if start.startswith(b"\x1f\x8b"):
        return "gzip"
    if start.startswith(b"BZh"):
        return "bzip2"
    if start.startswith(b"\xfd7zXZ\0"):
        return "xz"
    if start.startswith(b"\x28\xb5\x2f\xfd"):
        raise deny("archive", "the archive, or a layer in it, is packed with zstd", allowed="plain, gzip, bzip2, xz", status=400)
    return "plain"
