"""Files for a container that mounts the project: nothing among them would be dangerous outside of it."""

import gzip
import io
import tarfile

import pytest

from orchestrator.guard.calls import Denied
from orchestrator.guard.putfiles import PlainFiles
from tests.unit.guard.imagesession import denied
from tests.unit.guard.tars import file, folder, hardlink, other, symlink, tar


def put(data: bytes, step: int = 1000) -> list[tarfile.TarInfo]:
    files = PlainFiles(1 << 24)
    out = b"".join(files.feed(data[start : start + step]) for start in range(0, len(data), step)) + files.finish()
    with tarfile.open(fileobj=io.BytesIO(out), encoding="utf-8") as archive:
        return archive.getmembers()


@pytest.mark.parametrize("step", [1, 511, 512, 513, 1 << 16])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_unchanged(form: int, step: int) -> None:
    """Names, kinds, modes, owners, times."""
    long = "d/" + "n" * 90 + "/" + "é" * 90
    members = [
        folder("d"), file("d/a", b"x" * 1000, mode=0o1750, uid=3_000_000, gid=7, mtime=99), symlink("d/s", "../../../etc/x"),
        symlink("abs", "/etc/x"), hardlink("h", "d/a"), file(long, b"1"), file("empty"),
    ]  # fmt: skip
    members[0][0].mode = 0o2775
    got = [(one.name, one.type, one.mode, one.uid, one.gid, one.mtime, one.size, one.linkname) for one in put(tar(members, form), step)]
    assert got == [(one.name, one.type, one.mode, one.uid, one.gid, one.mtime, one.size, one.linkname) for one, _ in members]


def test_set_id() -> None:
    """Of a link, too: the engine sets the mode of what it leads to. Of a folder it is how files there get their group."""
    bits = [
        file("a", b"1", mode=0o4755),
        file("b", b"1", mode=0o2755),
        file("c", b"1", mode=0o7777),
        hardlink("h", "a"),
        symlink("s", "a"),
        folder("d"),
    ]
    for info, _ in bits[3:]:
        info.mode = 0o6755
    assert [one.mode for one in put(tar(bits))] == [0o755, 0o755, 0o1777, 0o755, 0o755, 0o6755]


def test_capabilities() -> None:
    """Left out with all other attributes: they are another way of running as root."""
    info, data = file("a", b"1")
    info.pax_headers = {"SCHILY.xattr.security.capability": "x"}
    assert put(tar([(info, data)]))[0].pax_headers == {}


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        pytest.param(tar([file("a"), other("d", tarfile.CHRTYPE)]), "archive.device", id="device"),
        pytest.param(tar([file("a"), other("d", tarfile.BLKTYPE)]), "archive.device", id="disk"),
        pytest.param(tar([file("a"), other("d", tarfile.FIFOTYPE)]), "archive.device", id="pipe"),
        pytest.param(tar([file("../a")]), "archive", id="outside"),
        pytest.param(gzip.compress(tar([file("a")])), "archive.packed", id="packed"),
        pytest.param(tar([file("a")])[:700], "archive", id="cut"),
        pytest.param(b"12345", "archive", id="too-short"),
        pytest.param(b"", "archive", id="nothing"),
        pytest.param(tar([file("a", bytes(1 << 24))]), "archive", id="large"),
    ],
)
def test_refused(data: bytes, rule: str) -> None:
    with pytest.raises(Denied) as caught:
        put(data)
    assert denied(caught) == rule


def test_nothing_to_put() -> None:
    assert put(tar([])) == []
