"""Bodies as they come in, piece by piece, and as they go out. Pure.

Chunk extensions and trailers end here: nothing that aienv knows needs them, and servers read them in different ways.
"""

import re
from typing import Protocol

from orchestrator.wire.http1 import BadMessage, Body

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
MAX_SIZE_LINE = 1024  # bytes, with its extensions
MAX_EXTENSIONS = 16384  # bytes of a whole body: beyond, they are the payload of something else
MAX_TRAILERS = 16384


class Reader(Protocol):
    """``done``: the body is whole; ``rest`` is then what came behind it."""

    done: bool
    rest: bytes

    def feed(self, data: bytes) -> bytes:
        """The payload in ``data``. Raises BadMessage."""

    def end(self) -> None:
        """The stream has ended. Raises BadMessage where the body is not whole."""


class Filter(Protocol):
    """Changes a body on its way, keeping its length."""

    def feed(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class LengthReader:
    """A body of a fixed number of bytes."""

    def __init__(self, length: int) -> None:
        self.left = length
        self.done = length == 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        payload = data[: self.left]
        self.rest += data[self.left :]
        self.left -= len(payload)
        self.done = self.left == 0
        return payload

    def end(self) -> None:
        if not self.done:
            raise BadMessage("the body is shorter than it says")


class CloseReader:
    """A body that ends with the connection."""

    def __init__(self) -> None:
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        return data

    def end(self) -> None:
        self.done = True


class ChunkReader:
    """A chunked body, without its framing."""

    def __init__(self, plain: bool = False) -> None:
        """``plain``: extensions and trailers are refused, not dropped."""
        self.done = False
        self.rest = b""
        self._plain = plain
        self._held = b""  # an unfinished line
        self._left = 0  # bytes of the present chunk that are to come
        self._ending = False  # the line end behind a chunk's data is to come
        self._trailers = -1  # bytes of trailers so far; -1: the last chunk is to come
        self._extensions = 0

    def feed(self, data: bytes) -> bytes:
        if self.done:
            self.rest += data
            return b""
        data, self._held = (self._held + data if self._held else data), b""
        pieces: list[bytes] = []
        position = 0
        while position < len(data) and not self.done:
            if self._left:
                piece = data[position : position + self._left]
                pieces.append(piece)
                position += len(piece)
                self._left -= len(piece)
                self._ending = self._left == 0
                continue
            end = data.find(b"\r\n", position)
            if end < 0:
                self._hold(data[position:])
                return b"".join(pieces)
            self._line(data[position:end])
            position = end + 2
        if self.done:
            self.rest = data[position:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def end(self) -> None:
        if not self.done:
            raise BadMessage("the body ended before its last chunk")

    def _hold(self, line: bytes) -> None:
        if len(line) > (MAX_TRAILERS if self._trailers >= 0 else MAX_SIZE_LINE):
            raise BadMessage("a line of the chunked body is too long")
        if b"\n" in line or b"\r" in line[:-1] or (self._ending and line not in (b"", b"\r")):
            raise BadMessage("the chunked body is malformed")
        self._held = line

    def _line(self, line: bytes) -> None:
        if self._ending:
            if line:
                raise BadMessage("a chunk is longer than it says")
            self._ending = False
        elif self._trailers >= 0:
            self._trailer(line)
        else:
            self._size(line)

    def _size(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line)
        if found is None or len(line) > MAX_SIZE_LINE:
            raise BadMessage("the size of a chunk is malformed")
        self._extensions += len(line) - len(found[1])
        if self._extensions > (0 if self._plain else MAX_EXTENSIONS):
            raise BadMessage("too many chunk extensions")
        self._left = int(found[1], 16)
        if self._left == 0:
            self._trailers = 0

    def _trailer(self, line: bytes) -> None:
        self._trailers += len(line) + 2
        if not line:
            self.done = True
        elif self._plain or self._trailers > MAX_TRAILERS or not _TRAILER.fullmatch(line):
            raise BadMessage("the trailers of the body are malformed or too long")


def reader_for(body: Body) -> Reader:
    if body.kind == "chunked":
        return ChunkReader()
    return CloseReader() if body.kind == "close" else LengthReader(body.length)


LAST_CHUNK = b"0\r\n\r\n"


def chunk(payload: bytes) -> bytes:
    """``payload`` as one chunk; nothing for nothing, which would end the body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload) if payload else b""
