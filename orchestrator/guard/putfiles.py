"""Files that go into a container in which the project is mounted (``docker cp``): the engine writes them as the machine's root. Pure.

A device or a pipe of the engine's making, or a program that runs as root, would stay in the project after the container.
"""

from dataclasses import replace

from orchestrator.guard.calls import deny
from orchestrator.guard.packing import MAGIC_BYTES, packing
from orchestrator.guard.tarstream import END, Member, TarReader, header, padding

MAX_FILES_BYTES = 64 << 30
SET_ID = 0o6000


class PlainFiles:
    """Feed, send what that gives, and what ``finish`` gives. The engine unpacks while it comes: what went before a refusal is there."""

    def __init__(self, most_bytes: int = MAX_FILES_BYTES) -> None:
        self._reader = TarReader(self, most_bytes)
        self._out = bytearray()
        self._start: bytes | None = b""  # None: it was looked at
        self._pad = 0

    def feed(self, data: bytes) -> bytes:
        """The same members, written anew. Raises Denied: a device, a pipe, or no plain tar."""
        if self._start is not None:
            self._start += data
            if len(self._start) < MAGIC_BYTES:
                return b""
            data, self._start = self._start, None
            if (kind := packing(data)) != "plain":
                raise deny("archive.packed", f"the archive is packed with {kind}", allowed="plain tar, as docker cp sends it", status=400)
        self._reader.feed(data)
        return self._drained()

    def finish(self) -> bytes:
        """The end of the archive. Raises Denied: it is cut off."""
        self._reader.finish()
        return self._drained() + END

    def _drained(self) -> bytes:
        out = bytes(self._out)
        self._out.clear()
        return out

    # what the reader calls

    def begin(self, member: Member) -> None:
        if member.kind == "fifo":
            raise deny("archive.device", f"the archive holds a pipe: {member.name[:80]!r}")
        if member.kind != "dir":  # of a link, too, the engine sets the mode
            member = replace(member, mode=member.mode & ~SET_ID)
        self._pad = padding(member.size)
        self._out += header(member)

    def content(self, data: memoryview) -> None:
        self._out += data

    def end(self) -> None:
        self._out += bytes(self._pad)
