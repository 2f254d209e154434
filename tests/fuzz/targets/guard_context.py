"""Build contexts and archives of images, against the standard library's reader.

Whatever the bytes, and however they are cut: only our own refusal is raised; what is sent is read by another reader as an archive whose
last member of the Dockerfile's name is ours, and whose names all stay inside.
"""

import io
import tarfile

from orchestrator.guard.archive import ArchiveReader
from orchestrator.guard.calls import Denied
from orchestrator.guard.context import ContextReader

NEW = b"FROM 1\n"
MOST = 1 << 22


def _tar(*members: tuple[str, bytes, bytes, str], form: int = tarfile.USTAR_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, kind, data, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(data), target
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()[:4096]


SEEDS = (
    _tar(("Dockerfile", b"0", b"FROM a\n", ""), ("a", b"2", b"", "b")),
    _tar(("d/" + "n" * 120, b"0", b"x", ""), ("Dockerfile", b"0", b"FROM a\n", ""), form=tarfile.PAX_FORMAT),
    _tar(("d/" + "n" * 120, b"0", b"x", ""), ("dockerfile", b"0", b"FROM a\n", ""), form=tarfile.GNU_FORMAT),
    _tar(("x", b"2", b"", "."), ("x/Dockerfile", b"0", b"FROM b\n", ""), ("Dockerfile", b"0", b"FROM a\n", "")),
    _tar(("c.json", b"0", b"{}", ""), ("manifest.json", b"0", b'[{"Config":"c.json","RepoTags":["a:1"],"Layers":[]}]', "")),
    b"\x1f\x8b\x08\x00" + bytes(20),
)
WORDS = (
    b"Dockerfile\0",
    b"ustar\x0000",
    b"ustar  \0",
    b"../",
    b"/",
    b"\0" * 512,
    b"GNU.sparse.",
    b"12 path=abc\n",
    b"\x80",
    b"\x1f\x8b\x08",
    b"BZh9",
    b"L",
    b"x",
    b"g",
)


def one_input(data: bytes) -> None:
    for text in (data, corrected(data)):
        whole = context(text, len(text) or 1)
        assert context(text, 100) == whole
        if whole is not None:
            judge(whole)
        load(text)


def corrected(data: bytes) -> bytes:
    """With the checksum of every block that could be a header made right: else hardly anything gets past it."""
    out = bytearray(data)
    for start in range(0, len(out) - 511, 512):
        if out[start + 257 : start + 262] == b"ustar":
            out[start + 148 : start + 156] = b" " * 8
            out[start + 148 : start + 156] = b"%06o\0 " % sum(out[start : start + 512])
    return bytes(out)


def context(data: bytes, step: int) -> bytes | None:
    with io.BytesIO() as spool:
        reader = ContextReader("Dockerfile", spool, MOST)
        try:
            for start in range(0, len(data), step):
                reader.feed(data[start : start + step])
            reader.finish()
        except Denied:
            return None
        out = b"".join(reader.write(NEW))
        assert len(out) == reader.length(NEW)
        return out


def judge(data: bytes) -> None:
    last = None
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
        for info in archive:
            assert not info.name.startswith("/")
            assert ".." not in info.name.split("/")
            if info.name == "Dockerfile":
                opened = archive.extractfile(info)
                last = opened.read() if info.isreg() and opened else None
    assert last == NEW


def load(data: bytes) -> None:
    with io.BytesIO() as spool:
        reader = ArchiveReader(spool, MOST)
        try:
            reader.feed(data)
            reader.finish()
        except Denied:
            return
        assert sum(map(len, reader.write())) == reader.length
