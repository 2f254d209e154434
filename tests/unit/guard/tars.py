"""Tar archives for tests, by the standard library's writer and by hand."""

import io
import tarfile
from collections.abc import Iterable


def file(name: str, data: bytes = b"", **settings: object) -> tuple[tarfile.TarInfo, bytes]:
    return _member(name, tarfile.REGTYPE, data, settings)


def folder(name: str) -> tuple[tarfile.TarInfo, bytes]:
    return _member(name, tarfile.DIRTYPE, b"", {})


def symlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return _member(name, tarfile.SYMTYPE, b"", {"linkname": target})


def hardlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return _member(name, tarfile.LNKTYPE, b"", {"linkname": target})


def other(name: str, kind: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return _member(name, kind, b"", {})


def _member(name: str, kind: bytes, data: bytes, settings: dict[str, object]) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data)
    for key, value in settings.items():
        setattr(info, key, value)
    return info, data


def tar(members: Iterable[tuple[tarfile.TarInfo, bytes]], form: int = tarfile.PAX_FORMAT, mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def listed(data: bytes) -> list[tuple[str, bytes]]:
    """Names and contents as the standard library reads them; of a link its target."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = []
        for info in archive:
            opened = archive.extractfile(info) if info.isreg() else None
            found.append((info.name, opened.read() if opened else info.linkname.encode()))
        return found
