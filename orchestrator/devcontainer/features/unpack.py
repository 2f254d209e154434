"""The files of a feature out of the archive that somebody published: files and folders, and nothing that leads out.

A layer is a plain tar although its name ends with ``.tgz``; gzip is taken, too.
"""

import os
from pathlib import Path

from orchestrator.errors import EnvironmentFailed
from orchestrator.guard.calls import Denied
from orchestrator.guard.tarstream import Member, TarReader, Unpacker

MAX_UNPACKED = 256 << 20
MAX_FILES = 20_000
MAX_NAME = 255
STEP = 1 << 20


def unpack(archive: Path, target: Path, what: str) -> None:
    """Into the folder ``target``, which is new and nobody else's.

    Raises:
        EnvironmentFailed: the archive is broken, too large, or holds a link, a device, or a name that leads out of it.
    """
    sink = _Folder(target)
    reader = TarReader(sink, MAX_UNPACKED)
    packed = Unpacker()
    try:
        with archive.open("rb") as file:
            while data := file.read(STEP):
                for piece in packed.feed(data):
                    reader.feed(piece)
            for piece in packed.finish():
                reader.feed(piece)
        reader.finish()
    except Denied as problem:
        raise EnvironmentFailed(f"{what}: {problem}", remedy="ask its publisher; nothing was installed", code="feature-archive") from None
    except OSError as problem:
        raise EnvironmentFailed(f"{what} cannot be unpacked: {problem.strerror}", code="feature-archive") from None
    finally:
        sink.close()


class _Folder:
    """Each member by its name below the root. Nothing in the folder is a link, so no name can lead elsewhere."""

    def __init__(self, root: Path) -> None:
        self._root = os.fsencode(root)
        self._file: int | None = None
        self._count = 0

    def begin(self, member: Member) -> None:
        self._count += 1
        if self._count > MAX_FILES:
            raise _denied(f"has more than {MAX_FILES} members")
        if member.kind not in ("file", "dir"):
            raise _denied(f"holds {member.name[:80]!r}, which is a {member.kind}")
        parts = member.name.split(b"/") if member.name else []
        if any(len(part) > MAX_NAME for part in parts):
            raise _denied(f"holds {member.name[:80]!r}, which is too long")
        path = os.path.join(self._root, *parts)
        if member.kind == "dir":
            os.makedirs(path, 0o755, exist_ok=True)
            return
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        mode = 0o755 if member.mode & 0o111 else 0o644
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        except FileExistsError:
            raise _denied(f"holds {member.name[:80]!r} twice") from None

    def content(self, data: memoryview) -> None:
        assert self._file is not None
        while data:
            data = data[os.write(self._file, data) :]

    def end(self) -> None:
        self.close()

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _denied(problem: str) -> EnvironmentFailed:
    remedy = "ask its publisher; nothing was installed"
    return EnvironmentFailed(f"the archive of a feature {problem}", remedy=remedy, code="feature-archive")
