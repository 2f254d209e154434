"""What a file of an image's archive holds, as it streams by: its digest, that of what it unpacks to, its text if it is small. Pure."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.guard.packing import MAGIC_BYTES, Bound, Unpacker, packing


@dataclass(slots=True)
class Found:
    """``unpacked``: the digest of what it unpacks to, once that is known; empty: it is not packed. ``text``: where it could be JSON."""

    digest: str
    unpacked: str = ""
    text: bytes | None = None


class Content:
    """One file. What takes time, unpacking, comes as an iterator: the caller runs these through, in their order, and breathes between the
    steps. All the files of an archive share a ``bound``."""

    def __init__(self, bound: Bound, may_keep: bool) -> None:
        self._bound = bound
        self._may_keep = may_keep
        self._hash, self._inner = hashlib.sha256(), hashlib.sha256()
        self._start: bytes | None = b""  # None: it is known what this is
        self._unpacker: Unpacker | None = None
        self._kept: bytearray | None = None
        self._found = Found("")

    def add(self, data: memoryview) -> Iterator[None] | None:
        """Raises Denied: it is packed in a way that is not known here."""
        self._hash.update(data)
        if self._start is None:
            if self._kept is not None:
                self._kept += data
            return self._unpack(self._unpacker, bytes(data)) if self._unpacker else None
        self._start += data
        if self._may_keep and self._start[:1] == b"{":
            self._kept, self._start = bytearray(self._start), None
        elif len(self._start) >= MAGIC_BYTES:
            start, self._start = self._start, None
            if packing(start) != "plain":
                self._unpacker = Unpacker(self._bound)
                return self._unpack(self._unpacker, start)
        return None

    def end(self) -> tuple[Found, Iterator[None] | None]:
        """What was found; after the iterator has run, all of it."""
        self._found.digest = f"sha256:{self._hash.hexdigest()}"
        self._found.text = bytes(self._kept) if self._kept is not None else None
        return self._found, self._finish(self._unpacker) if self._unpacker else None

    def _unpack(self, unpacker: Unpacker, data: bytes) -> Iterator[None]:
        for piece in unpacker.feed(data):
            self._inner.update(piece)
            yield

    def _finish(self, unpacker: Unpacker) -> Iterator[None]:
        yield from (None for _ in unpacker.finish())
        self._found.unpacked = f"sha256:{self._inner.hexdigest()}"
