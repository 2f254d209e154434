"""The archive of an npm package into a folder: plain files and folders, nothing else. Links are left out, as npm leaves them out."""

import contextlib
import os
from pathlib import Path

from orchestrator.errors import EnvironmentFailed
from orchestrator.guard.calls import Denied, deny
from orchestrator.guard.packing import Bound
from orchestrator.guard.tarstream import Member, TarReader, Unpacker

MAX_UNPACKED_BYTES = 2 << 30  # the largest agent of today has 380 MiB
MAX_FILES = 60_000
MAX_NAME_BYTES = 255
STEP_BYTES = 1 << 20


def unpack(archive: Path, target: Path, what: str) -> None:
    """Into ``target``, which may be there, without the archive's outermost folder. Files get the modes 0755 and 0644.

    Raises:
        EnvironmentFailed: the archive is broken or too large, or holds a device, or a name that leads out.
    """
    sink = _Folder(target)
    reader = TarReader(sink, MAX_UNPACKED_BYTES)
    packed = Unpacker(Bound(MAX_UNPACKED_BYTES))
    try:
        target.mkdir(parents=True, exist_ok=True)
        with archive.open("rb") as file:
            while data := file.read(STEP_BYTES):
                for piece in packed.feed(data):
                    reader.feed(piece)
            for piece in packed.finish():
                reader.feed(piece)
        reader.finish()
    except Denied as problem:
        why = f"{what} is not taken: {problem.denial.reason}"
        raise EnvironmentFailed(why, remedy="nothing was installed; tell us", code="agent-archive") from None
    except OSError as problem:
        raise EnvironmentFailed(
            f"{what} cannot be unpacked: {problem.strerror}", remedy="see that the disk has room", code="agent-archive"
        ) from None
    finally:
        sink.close()


class _Folder:
    """No member becomes a link, so no name can lead elsewhere."""

    def __init__(self, root: Path) -> None:
        self._root = os.fsencode(root)
        self._file: int | None = None
        self._count = 0

    def begin(self, member: Member) -> None:
        self._count += 1
        if self._count > MAX_FILES:
            raise deny("archive", f"the archive has more than {MAX_FILES} members", status=413)
        parts = member.name.split(b"/")[1:]
        if any(len(part) > MAX_NAME_BYTES for part in parts):
            raise deny("archive", f"the archive holds {member.name[:80]!r}, which is too long", status=400)
        if not parts or member.kind in ("link", "symlink", "fifo"):
            return
        path = os.path.join(self._root, *parts)
        if member.kind == "dir":
            os.makedirs(path, 0o755, exist_ok=True)
            return
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        mode = 0o755 if member.mode & 0o111 else 0o644
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # some archives hold a name twice; the later one counts, as with npm
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)

    def content(self, data: memoryview) -> None:
        if self._file is not None:
            while data:
                data = data[os.write(self._file, data) :]

    def end(self) -> None:
        self.close()

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
