"""A build context of features: a tar that is the same, byte for byte, for the same files.

Times are zero, owners are root, everything may be executed (install scripts call files that lost that in a checkout). What a feature's
folder holds is read through open folders, never by a path that somebody could bend in the meantime.
"""

import hashlib
import io
import os
import posixpath
import stat
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from orchestrator.devcontainer.images.layer import BEGIN, SCRIPT, VALUES, Step
from orchestrator.errors import ConfigError, NotFound

MAX_BYTES = 256 << 20
MAX_FILES = 20_000
MAX_DEPTH = 64
INSTALL = "install.sh"


@dataclass(frozen=True, slots=True)
class Part:
    """A step, the folder of its files, and its values. ``inside``: the folder may not be a way out of this one."""

    step: Step
    folder: Path
    values: bytes
    inside: Path | None


def pack(dockerfile: str, parts: Sequence[Part], scratch: Path) -> tuple[BinaryIO, str]:
    """A file without a name below ``scratch``, at its start, and the digest of what is in it.

    Raises:
        ConfigError: a feature's folder holds a link that leads out of it, a device, or too much.
        NotFound: it has no install.sh.
    """
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - the caller closes it
    try:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
            _add_bytes(archive, "Dockerfile", dockerfile.encode())
            for part in parts:
                number = str(part.step.number)
                _add_folder(archive, number)
                _add_bytes(archive, f"{number}/{SCRIPT}", BEGIN.encode())
                _add_bytes(archive, f"{number}/{VALUES}", part.values)
                _Feature(archive, part).add(f"{number}/{part.step.folder}")
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
    except BaseException:  # ^C too: no descriptor is left behind, and the reason goes on
        file.close()
        raise
    return file, digest


def leads_out(link: str, target: str) -> bool:
    """Whether a link at ``link``, below the root of a feature, may lead out of it."""
    if target.startswith("/"):
        return True
    whole = posixpath.normpath(posixpath.join(posixpath.dirname(link), target))
    return whole == ".." or whole.startswith("../")


class _Feature:
    """One feature's folder, added to an archive."""

    def __init__(self, archive: tarfile.TarFile, part: Part) -> None:
        self._archive = archive
        self._part = part
        self._name = part.step.feature.written
        self._files = 0
        self._bytes = 0

    def add(self, prefix: str) -> None:
        try:
            root = os.open(self._part.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as problem:
            told = f"the files of the feature {self._name!r} cannot be read: {problem.strerror}"
            raise NotFound(told, code="feature-not-found") from None
        try:
            self._check_place(root)
            if INSTALL not in os.listdir(root):
                raise NotFound(f"the feature {self._name!r} has no {INSTALL}", code="feature-not-found")
            self._folder(root, prefix, "")
        finally:
            os.close(root)

    def _check_place(self, root: int) -> None:
        if self._part.inside is None:
            return
        real, inside = Path(os.readlink(f"/proc/self/fd/{root}")), Path(os.path.realpath(self._part.inside))
        if not real.is_relative_to(inside):
            raise self._bad(f"is behind a link that leads out of {inside}")

    def _folder(self, folder: int, prefix: str, below: str) -> None:
        if below.count("/") > MAX_DEPTH:
            raise self._bad(f"has folders in folders, more than {MAX_DEPTH}")
        _add_folder(self._archive, prefix)
        for name in sorted(os.listdir(folder)):
            self._files += 1
            if self._files > MAX_FILES:
                raise self._bad(f"has more than {MAX_FILES} files")
            self._member(folder, name, f"{prefix}/{name}", f"{below}{name}")

    def _member(self, folder: int, name: str, place: str, below: str) -> None:
        try:
            found = os.lstat(name, dir_fd=folder)
            if stat.S_ISLNK(found.st_mode):
                self._link(os.readlink(name, dir_fd=folder), place, below)
                return
            if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
                raise self._bad(f"holds {below!r}, which is no file, folder or link")
            kind = os.O_DIRECTORY if stat.S_ISDIR(found.st_mode) else os.O_NONBLOCK  # a pipe that took its place must not hold us
            opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | kind, dir_fd=folder)
        except OSError as problem:
            raise self._bad(f"holds {below!r}, which cannot be read: {problem.strerror}") from None
        try:
            if kind == os.O_DIRECTORY:
                self._folder(opened, place, f"{below}/")
            else:
                self._file(opened, place, below)
        finally:
            os.close(opened)

    def _link(self, target: str, place: str, below: str) -> None:
        if leads_out(below, target):
            raise self._bad(f"holds the link {below!r}, which leads out of it to {target!r}")
        member = _member(place, 0o777)
        member.type, member.linkname = tarfile.SYMTYPE, target
        self._archive.addfile(member)

    def _file(self, opened: int, place: str, below: str) -> None:
        found = os.fstat(opened)
        self._bytes += found.st_size
        if self._bytes > MAX_BYTES:
            raise self._bad(f"has more than {MAX_BYTES >> 20} MiB")
        if not stat.S_ISREG(found.st_mode):
            raise self._bad(f"holds {below!r}, which is no file")
        member = _member(place, 0o755)
        member.size = found.st_size
        with os.fdopen(os.dup(opened), "rb") as stream:
            try:
                self._archive.addfile(member, stream)
            except OSError:
                raise self._bad(f"holds {below!r}, which changed while it was read") from None

    def _bad(self, problem: str) -> ConfigError:
        return ConfigError(f"the feature {self._name!r} {problem}", remedy="mend it, or leave it out", code="feature")


def _member(name: str, mode: int) -> tarfile.TarInfo:
    """A member with nothing in it that differs from day to day."""
    member = tarfile.TarInfo(name)
    member.mode = mode
    return member


def _add_folder(archive: tarfile.TarFile, name: str) -> None:
    member = _member(name, 0o755)
    member.type = tarfile.DIRTYPE
    archive.addfile(member)


def _add_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = _member(name, 0o644)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))
