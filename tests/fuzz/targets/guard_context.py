"""Build contexts, archives of images and files that are copied into containers, against the standard library's reader.

Whatever the bytes, and however they are cut: only our own refusal is raised; what is sent is read by another reader as an archive whose
last member of the Dockerfile's name is ours, and whose names all stay inside.
"""

import io
import tarfile

from orchestrator.guard.archive import ArchiveReader
from orchestrator.guard.calls import Denied
from orchestrator.guard.context import ContextReader
from orchestrator.guard.putfiles import PlainFiles

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
    _tar(
        ("c.json", b"0", b'{"rootfs":{"type":"layers"}}', ""),
        ("manifest.json", b"0", b'[{"Config":"c.json","RepoTags":["a:1"],"Layers":[]}]', ""),
    ),
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
        files = put(text, len(text) or 1)
        assert put(text, 100) == files
        if files is not None:
            judge_put(files)


def corrected(data: bytes) -> bytes:
    """With the checksum of every block that could be a header made right: else hardly anything gets past it."""
    out = bytearray(data)
    for start in range(0, len(out) - 511, 512):
        if out[start + 257 : start + 262] == b"ustar":
            out[start + 148 : start + 156] = b" " * 8
            out[start + 148 : start + 156] = b"%06o\0 " % sum(out[start : start + 512])
    return bytes(out)


def context(data: bytes, step: int) -> bytes | None:
    with io.BytesIO() as sent:
        reader = ContextReader("Dockerfile", sent, MOST)
        try:
            for start in range(0, len(data), step):
                for _ in reader.feed(data[start : start + step]):
                    pass
            reader.finish()
        except Denied:
            return None
        return sent.getvalue() + reader.tail(NEW)


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
    """What goes on is files and folders, each once, and the table that was judged."""
    with io.BytesIO() as sent:
        reader = ArchiveReader(sent, {}, MOST)
        try:
            for _ in reader.feed(data):
                pass
            reader.finish()
        except Denied:
            return
        out = sent.getvalue() + reader.tail()
    with tarfile.open(fileobj=io.BytesIO(out), mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
        members = archive.getmembers()
    files = [info.name for info in members if info.isreg()]
    assert len(files) == len(set(files))
    assert len(files) == sum(not info.isdir() for info in members)
    assert files[-1] == "manifest.json"


def put(data: bytes, step: int) -> bytes | None:
    files = PlainFiles(MOST)
    try:
        return b"".join(files.feed(data[start : start + step]) for start in range(0, len(data), step)) + files.finish()
    except Denied:
        return None


def judge_put(data: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
        for info in archive:
            assert info.isreg() or info.isdir() or info.issym() or info.islnk()
            assert info.isdir() or not info.mode & 0o6000
