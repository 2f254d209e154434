"""Bytes from one wire to another, as they come and no faster than the other side takes them.

A flow moves what it can and says so; whoever drives it waits. Between two plain sockets many bytes go through a pipe with ``splice``
and are never copied into this process.
"""

import contextlib
import fcntl
import os
from typing import Protocol

from orchestrator.wire.bodies import LAST_CHUNK, Filter, Reader, chunk
from orchestrator.wire.http1 import BadMessage
from orchestrator.wire.loop import FOREVER, Loop, pause
from orchestrator.wire.wires import PIECE_BYTES, Wire

TURN_BYTES = 1 << 20  # what one flow may move before the others have their turn
RECODED_TURN_BYTES = 1 << 18  # each of a body's chunks is looked at, and there may be one for each byte
SPLICE_AFTER_BYTES = 128 * 1024  # most bodies are smaller, and a pipe costs two descriptors
PIPE_BYTES = 512 * 1024
_MAX_PIPES = 64  # the kernel gives an ordinary user 64 MiB of pipes before it makes them small
_SPLICE_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


class SourceLost(Exception):
    """The side that sends is gone, or sends nonsense, before everything came."""


class SinkLost(Exception):
    """The side that receives takes nothing more."""


class Flow(Protocol):
    done: bool

    def step(self) -> bool:
        """Move what can be moved; True when there is more at once. Raises SourceLost, SinkLost."""


class Pipe:
    """A pipe of the pool. Empty whenever it lies there."""

    _free: "list[Pipe]" = []  # noqa: RUF012 - shared on purpose
    _count = 0

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    @classmethod
    def take(cls) -> "Pipe | None":
        """None: there are enough."""
        if cls._free:
            return cls._free.pop()
        if cls._count >= _MAX_PIPES:
            return None
        try:
            pipe = Pipe()
        except OSError:
            return None
        cls._count += 1
        return pipe

    def give_back(self, empty: bool) -> None:
        if empty:
            Pipe._free.append(self)
            return
        os.close(self.reader)
        os.close(self.writer)
        Pipe._count -= 1


class Stream:
    """Bytes as they are. ``left``: how many belong to it; None: all, until the source ends. ``out``: to be sent before."""

    __slots__ = ("_in_pipe", "_moved", "_out", "_pipe", "_splices", "done", "ended", "left", "sink", "source")

    def __init__(self, source: Wire, sink: Wire, left: int | None, out: bytes) -> None:
        self.source = source
        self.sink = sink
        self.left = left
        self.done = False
        self.ended = False
        self._out = memoryview(out)
        self._pipe: Pipe | None = None
        self._in_pipe = 0
        self._moved = 0
        self._splices = not source.secure and not sink.secure

    def step(self) -> bool:
        stop = self._moved + TURN_BYTES
        while self._moved < stop:
            if self._out:
                if not self._send():
                    return False
            elif self._in_pipe:
                if not self._empty_pipe():
                    return False
            elif self.left == 0 or self.ended:
                self.done = True
                self.release()
                return False
            elif not self.source.readable or not self._read():
                return False
        return True

    def release(self) -> None:
        """Give the pipe back. Called when the flow is given up, too."""
        if self._pipe is not None:
            self._pipe.give_back(self._in_pipe == 0)
            self._pipe = None

    def _send(self) -> bool:
        try:
            count = self.sink.send(self._out)
        except OSError as problem:
            raise SinkLost(str(problem)) from None
        self._out = self._out[count:]
        self._moved += count
        return count > 0

    def _read(self) -> bool:
        """Take from the source; False when nothing is there."""
        if self._splices and self._moved >= SPLICE_AFTER_BYTES:
            if self._pipe is None:
                self._pipe = Pipe.take()
            if self._pipe is not None:
                return self._fill_pipe(self._pipe)
        try:
            data = self.source.recv(PIECE_BYTES if self.left is None else min(self.left, PIECE_BYTES))
        except OSError as problem:
            raise SourceLost(str(problem)) from None
        if data is None:
            return False
        self._came(len(data))
        self._out = memoryview(data)
        return True

    def _came(self, count: int) -> None:
        if not count:
            self.ended = True
            if self.left is not None:
                raise SourceLost("the body is shorter than it says")
        elif self.left is not None:
            self.left -= count

    def _fill_pipe(self, pipe: Pipe) -> bool:
        wanted = PIPE_BYTES if self.left is None else min(self.left, PIPE_BYTES)
        try:
            count = os.splice(self.source.fd, pipe.writer, wanted, flags=_SPLICE_FLAGS)
        except BlockingIOError:
            self.source.readable = False
            return False
        except OSError as problem:
            if problem.errno in (22, 38):  # EINVAL, ENOSYS: this kernel splices no such sockets
                self._splices = False
                self.release()
                return True
            raise SourceLost(str(problem)) from None
        self.source.bytes_in += count
        self._came(count)
        self._in_pipe = count
        return True

    def _empty_pipe(self) -> bool:
        assert self._pipe is not None
        try:
            count = os.splice(self._pipe.reader, self.sink.fd, self._in_pipe, flags=_SPLICE_FLAGS)
        except BlockingIOError:
            self.sink.writable = False
            return False
        except OSError as problem:
            raise SinkLost(str(problem)) from None
        self.sink.bytes_out += count
        self._in_pipe -= count
        self._moved += count
        return True


class Recoded:
    """A body taken out of its framing, and put into ours. ``out``: to be sent before. What follows the body is kept in the source."""

    __slots__ = ("_chunked", "_ended", "_filter", "_out", "_reader", "done", "sink", "source")

    def __init__(self, source: Wire, sink: Wire, reader: Reader, out: bytes, *, chunked: bool, through: Filter | None = None) -> None:
        self.source = source
        self.sink = sink
        self.done = False
        self._reader = reader
        self._chunked = chunked
        self._filter = through
        self._out = memoryview(out)
        self._ended = reader.done
        if self._ended:
            self._add(self._last(), out)
        elif source.kept:
            kept, source.kept = source.kept, b""
            self._add(self._take(kept), out)

    def step(self) -> bool:
        moved = 0
        while moved < RECODED_TURN_BYTES:
            if self._out:
                try:
                    count = self.sink.send(self._out)
                except OSError as problem:
                    raise SinkLost(str(problem)) from None
                if not count:
                    return False
                self._out = self._out[count:]
                moved += count
            elif self._ended:
                self.done = True
                return False
            elif not self.source.readable:
                return False
            else:
                try:
                    data = self.source.recv()
                except OSError as problem:
                    raise SourceLost(str(problem)) from None
                if data is None:
                    return False
                self._out = memoryview(self._take(data))
                moved += len(data)
        return True

    def release(self) -> None:
        """Nothing to give back."""

    def _add(self, more: bytes, before: bytes) -> None:
        self._out = memoryview(before + more)

    def _take(self, data: bytes) -> bytes:
        """What to send for what came."""
        if not data:
            try:
                self._reader.end()
            except BadMessage as problem:
                raise SourceLost(problem.reason) from None
        payload = self._reader.feed(data) if data else b""
        if self._filter is not None:
            payload = self._filter.feed(payload)
        out = chunk(payload) if self._chunked else payload
        if self._reader.done:
            self._ended = True
            self.source.kept = self._reader.rest
            out += self._last()
        return out

    def _last(self) -> bytes:
        held = b"" if self._filter is None else self._filter.finish()
        return chunk(held) + LAST_CHUNK if self._chunked else held


HALF_CLOSED_S = 600.0  # one side has ended and the other says nothing: it has forgotten us


async def tunnel(loop: Loop, one: Wire, other: Wire, half_closed_s: float = HALF_CLOSED_S) -> None:
    """Bytes both ways until both sides have ended, or one takes nothing more. What was kept goes first.

    Raises:
        SourceLost, SinkLost: a side broke off.
        TimedOut: one side has ended and the other sends nothing for ``half_closed_s``.
    """
    there, back = Stream(one, other, None, one.kept), Stream(other, one, None, other.kept)
    one.kept = other.kept = b""
    try:
        while not (there.done and back.done):
            more = False
            for flow in (there, back):
                if not flow.done:
                    more |= flow.step()
                    if flow.done:
                        flow.sink.shut_write()
            if more:
                await loop.breathe()
            elif (there.done and one.broken) or (back.done and other.broken):
                return  # that side has closed altogether: it hears nothing of what the other one may still say
            elif not (there.done and back.done):
                await pause(loop.in_seconds(half_closed_s) if there.done or back.done else FOREVER)
    finally:
        there.release()
        back.release()
