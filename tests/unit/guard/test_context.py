"""Build contexts: the engine gets one Dockerfile, the judged one, whatever the archive that came tried to be."""

# ruff: noqa: E501 - a row of a table stays one line

import gzip
import io
import itertools
import lzma
import tarfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.guard.calls import Denied
from orchestrator.guard.context import ContextReader
from orchestrator.guard.tarstream import MAX_EXTENDED, Member, clean, header
from tests.unit.guard.imagesession import denied
from tests.unit.guard.tars import file, folder, hardlink, listed, other, symlink, tar

NEW = b"FROM 1111\n"
GOOD, EVIL = b"FROM debian:12\n", b"FROM evil\n"


def passed(data: bytes, dockerfile: str = "Dockerfile", step: int = 1 << 16, most: int = 1 << 26) -> tuple[bytes, bytes]:
    """The Dockerfile that is judged, and the archive that is sent."""
    with io.BytesIO() as sent:
        reader = ContextReader(dockerfile, sent, most)
        for start in range(0, len(data), step):
            for _ in reader.feed(data[start : start + step]):
                pass
        text = reader.finish()
        return text, sent.getvalue() + reader.tail(NEW)


def refusal(data: bytes, dockerfile: str = "Dockerfile", most: int = 1 << 26) -> str:
    with pytest.raises(Denied) as caught:
        passed(data, dockerfile, most=most)
    return denied(caught)


@pytest.mark.parametrize("step", [1, 511, 512, 513, 1 << 16])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_passes(form: int, step: int) -> None:
    """Everything is there, in its order, in any pieces, with the Dockerfile at the end."""
    long = "d/" + "n" * 90 + "/" + "m" * 90
    members = [
        folder("d"),
        file("d/a", b"x" * 1000),
        file("Dockerfile", GOOD, mode=0o600, uid=7),
        symlink("d/s", "../a"),
        hardlink("h", "d/a"),
        file(long, b"1"),
    ]
    text, out = passed(tar(members, form), step=step)
    assert text == GOOD
    assert listed(out) == [("d", b""), ("d/a", b"x" * 1000), ("d/s", b"../a"), ("h", b"d/a"), (long, b"1"), ("Dockerfile", NEW)]
    with tarfile.open(fileobj=io.BytesIO(out)) as archive:
        info = archive.getmember("Dockerfile")
        assert (info.mode, info.uid) == (0o600, 7)


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: zlib.compress(data, wbits=31), lzma.compress, __import__("bz2").compress])
def test_packed(pack: object) -> None:
    """Plain goes out."""
    assert callable(pack)
    text, out = passed(pack(tar([file("Dockerfile", GOOD), file("a", b"1" * 5000)])), step=7)
    assert text == GOOD
    assert dict(listed(out)) == {"Dockerfile": NEW, "a": b"1" * 5000}


def test_packed_in_two() -> None:
    """Two gzip members one after the other are one stream."""
    data = tar([file("Dockerfile", GOOD)])
    assert passed(gzip.compress(data[:700]) + gzip.compress(data[700:]))[0] == GOOD


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        pytest.param([file("Dockerfile", EVIL), file("Dockerfile", GOOD)], {"Dockerfile": NEW}, id="last-wins"),
        pytest.param(
            [file("./Dockerfile", EVIL), file("a/../Dockerfile", EVIL), file("/Dockerfile", GOOD)],
            {"Dockerfile": NEW},
            id="ways-of-writing",
        ),
        pytest.param([file("dockerfile", EVIL), file("Dockerfile", GOOD)], {"dockerfile": EVIL, "Dockerfile": NEW}, id="both-cases"),
        pytest.param([file("dockerfile", GOOD)], {"dockerfile": GOOD, "Dockerfile": NEW}, id="lower-case"),
        pytest.param([file("Dockerfile", GOOD), hardlink("h", "Dockerfile")], {"Dockerfile": NEW, "h": GOOD}, id="link-to-it"),
        pytest.param(
            [file("Dockerfile", GOOD), file(".dockerignore", b"Dockerfile\n")],
            {"Dockerfile": NEW, ".dockerignore": b"Dockerfile\n"},
            id="ignored",
        ),
        pytest.param(
            [file("Dockerfile", GOOD), other("p", tarfile.FIFOTYPE), folder(".")],
            {"Dockerfile": NEW, "p": b"", ".": b""},
            id="pipe-and-root",
        ),
        pytest.param([symlink("x", "."), file("x", b"1"), file("Dockerfile", GOOD)], {"x": b"1", "Dockerfile": NEW}, id="symlink-replaced"),
    ],
)
def test_which_dockerfile(members: list[tuple[tarfile.TarInfo, bytes]], expected: dict[str, bytes]) -> None:
    text, out = passed(tar(members))
    assert text == GOOD
    assert dict(listed(out)) == expected


def test_named_dockerfile() -> None:
    """The one that the query names, below folders."""
    members = [folder("docker"), file("docker/web.Dockerfile", GOOD), file("Dockerfile", EVIL)]
    text, out = passed(tar(members), "docker/web.Dockerfile")
    assert text == GOOD
    assert dict(listed(out))["docker/web.Dockerfile"] == NEW
    assert dict(listed(out))["Dockerfile"] == EVIL


SPARSE = tarfile.TarInfo("s")
SPARSE.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.name": "Dockerfile"}
GOODTAR = tar([file("Dockerfile", GOOD)])


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        pytest.param(tar([file("a")]), "build.dockerfile-missing", id="none"),
        pytest.param(tar([symlink("Dockerfile", "a"), file("a", EVIL)]), "build.dockerfile", id="symlink"),
        pytest.param(tar([file("a", EVIL), hardlink("Dockerfile", "a")]), "build.dockerfile", id="hardlink"),
        pytest.param(tar([file("Dockerfile", GOOD), folder("Dockerfile")]), "build.dockerfile", id="folder"),
        pytest.param(tar([file("Dockerfile", GOOD), symlink("x", "."), file("x/Dockerfile", EVIL)]), "archive", id="through-a-symlink"),
        pytest.param(
            tar([file("dockerfile", GOOD), symlink("x", "."), file("x/Dockerfile", EVIL)]),
            "archive",
            id="through-a-symlink-in-another-case",
        ),
        pytest.param(tar([file("Dockerfile", GOOD), symlink("a/b", ".."), file("a/b/c/d", EVIL)]), "archive", id="deep-below-a-symlink"),
        pytest.param(tar([file("Dockerfile", GOOD), file("../Dockerfile", EVIL)]), "archive", id="out"),
        pytest.param(tar([file("Dockerfile", GOOD), hardlink("a", "../../etc/shadow")]), "archive", id="hardlink-out"),
        pytest.param(tar([file("Dockerfile", GOOD), other("d", tarfile.CHRTYPE)]), "archive.device", id="device"),
        pytest.param(tar([file("Dockerfile", GOOD), other("d", tarfile.BLKTYPE)]), "archive.device", id="disk"),
        pytest.param(tar([file("Dockerfile", GOOD), other("d", b"S")], tarfile.GNU_FORMAT), "archive", id="sparse"),
        pytest.param(tar([file("Dockerfile", GOOD), (SPARSE, b"")]), "archive", id="sparse-pax"),
        pytest.param(tar([file("Dockerfile", GOOD), other("d", b"V")]), "archive", id="volume-header"),
        pytest.param(GOODTAR + GOODTAR, "archive", id="two-archives"),
        pytest.param(GOODTAR[:1024], "archive", id="no-end"),
        pytest.param(GOODTAR[:1536], "archive", id="half-an-end"),
        pytest.param(GOODTAR[:700], "archive", id="cut"),
        pytest.param(GOODTAR[:1024] + bytes(512) + GOODTAR, "archive", id="one-block-of-zeros"),
        pytest.param(b"\0" * 1024, "build.dockerfile-missing", id="no-members"),
        pytest.param(b"", "archive", id="nothing"),
        pytest.param(b"FROM debian:12\n", "archive", id="a-dockerfile-alone"),
        pytest.param(b"x" * 2000, "archive", id="noise"),
        pytest.param(b"\x28\xb5\x2f\xfd" + bytes(100), "archive", id="zstd"),
        pytest.param(gzip.compress(GOODTAR)[:-9], "archive", id="gzip-cut"),
        pytest.param(gzip.compress(GOODTAR) + b"x", "archive", id="gzip-and-more"),
        pytest.param(b"\x1f\x8bxxxxxxxx", "archive", id="no-gzip"),
        pytest.param(gzip.compress(bytes(1 << 27)), "archive", id="zeros-without-end"),
        pytest.param(
            tar([symlink("s", "."), hardlink("h", "s"), file("h/x"), file("Dockerfile", GOOD)]), "archive", id="below-a-link-to-a-symlink"
        ),
        pytest.param(
            tar([symlink("s", "."), symlink("t", "."), hardlink("h", "t/s"), file("h/x"), file("Dockerfile", GOOD)]),
            "archive",
            id="below-a-link-through-a-symlink",
        ),
        pytest.param(tar([file("Dockerfile", b"#" * 300_000)]), "build.dockerfile-large", id="large"),
        pytest.param(tar([file("n" * 4097), file("Dockerfile", GOOD)]), "archive", id="long-name"),
    ],
)
def test_refused(data: bytes, rule: str) -> None:
    assert refusal(data) == rule


@pytest.mark.parametrize(
    "members",
    [
        [symlink("d", "e"), file("e/Dockerfile", GOOD)],
        [folder("d"), file("d/Dockerfile", GOOD), file("e/Dockerfile", EVIL), symlink("d", "e")],
        [file("d/Dockerfile", GOOD), hardlink("d", "x")],
        [symlink("s", "e"), file("d/Dockerfile", GOOD), hardlink("d", "s")],
        [symlink("s", "."), hardlink("h", "s"), symlink("h/d", "e"), file("d/Dockerfile", GOOD)],
    ],
)
def test_folders_of_the_dockerfile(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    """They are folders, before and after it."""
    assert refusal(tar(members), "d/Dockerfile") in ("archive", "build.dockerfile-missing")


def test_the_dockerfile_comes_last() -> None:
    """Nothing of it goes on before it was judged, whichever of its names it has; everything else does, in small steps."""
    data = tar([file("dockerfile", EVIL), file("Dockerfile", GOOD), file("a", b"x" * (3 << 20))])
    with io.BytesIO() as sent:
        reader = ContextReader("Dockerfile", sent)
        sizes = [0, *(sent.tell() for _ in reader.feed(data))]
        assert max(after - before for before, after in itertools.pairwise(sizes)) <= 1 << 20
        assert sizes[-1] > 3 << 20
        assert b"ockerfile" not in sent.getvalue()
        assert reader.finish() == GOOD
        assert [name for name, _ in listed(sent.getvalue() + reader.tail(NEW))] == ["a", "dockerfile", "Dockerfile"]


def test_link_to_what_was_dropped() -> None:
    """It becomes a file of what stood there when the link was made."""
    _, out = passed(
        tar(
            [
                file("dockerfile", EVIL),
                hardlink("h", "dockerfile"),
                file("Dockerfile", b"one"),
                hardlink("i", "./Dockerfile"),
                file("Dockerfile", GOOD),
            ]
        )
    )
    assert listed(out) == [("h", EVIL), ("i", b"one"), ("dockerfile", EVIL), ("Dockerfile", NEW)]


def test_size() -> None:
    assert refusal(tar([file("Dockerfile", GOOD), file("a", bytes(5000))]), most=4000) == "archive"


def changed(data: bytes, place: int, value: bytes) -> bytes:
    """The first header with other bytes, its checksum made right."""
    block = bytearray(data[:512])
    block[place : place + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data[512:]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        pytest.param(124, b"\xff" * 12, id="negative-size"),
        pytest.param(124, b"\x80" + b"\x7f" * 11, id="endless-size"),
        pytest.param(124, b"0x10", id="hex-size"),
        pytest.param(124, b"-1", id="minus"),
        pytest.param(257, b"odd", id="magic"),
        pytest.param(508, b"tar\0", id="star"),
        pytest.param(345, b"..", id="prefix-out"),
        pytest.param(156, b"5", id="folder-with-content"),
        pytest.param(156, b"1", id="link-with-content"),
        pytest.param(156, b"x", id="records-that-are-none"),
        pytest.param(156, b"g", id="global-records-that-are-none"),
    ],
)
def test_odd_headers(place: int, value: bytes) -> None:
    assert refusal(changed(tar([file("Dockerfile", GOOD)], tarfile.USTAR_FORMAT), place, value)) == "archive"


def test_checksum() -> None:
    data = bytearray(GOODTAR)
    data[0] ^= 1
    assert refusal(bytes(data)) == "archive"


def test_records() -> None:
    """A header of the largest size, in the smallest records, is read as fast as any; one too many, or a length that lies, is refused."""
    many = b"6 a=b\n" * (MAX_EXTENDED // 6)
    extended = header(Member(b"x", "file", size=len(many)))
    whole = changed(extended, 156, b"x") + many + bytes(-len(many) % 512) + tar([file("Dockerfile", GOOD)])
    assert passed(whole)[0] == GOOD
    large = header(Member(b"x", "file", size=MAX_EXTENDED + 1))
    assert refusal(changed(large, 156, b"x") + many) == "archive"
    for record in (b"0 a=b\n", b"7 a=b\n", b"99 a=b\n", b"5 a=b\n", b"6 =bc\n", b"6 abc\n", b"x a=b\n"):
        lying = changed(header(Member(b"x", "file", size=len(record))), 156, b"x") + record + bytes(512 - len(record))
        assert refusal(lying + GOODTAR) == "archive"


def test_global_headers() -> None:
    """git archive writes a comment; anything else would change what follows."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "0123"}) as archive:
        info, data = file("Dockerfile", GOOD)
        archive.addfile(info, io.BytesIO(data))
    assert passed(out.getvalue())[0] == GOOD
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"path": "Dockerfile"}) as archive:
        info, data = file("a", EVIL)
        archive.addfile(info, io.BytesIO(data))
    assert refusal(out.getvalue()) == "archive"


def test_attributes_are_left_out() -> None:
    """The engine would set them as root, ``trusted.overlay.*`` too."""
    info, data = file("a", b"1")
    info.pax_headers = {"SCHILY.xattr.trusted.overlay.redirect": "/", "mtime": "1.5"}
    _, out = passed(tar([(info, data), file("Dockerfile", GOOD)]))
    assert b"xattr" not in out


def test_odd_names_come_through() -> None:
    """Any bytes that a file system has."""
    name = "\udcff\udcfe-é/" + "x" * 200
    info, data = file(name, b"1")
    text, out = passed(tar([(info, data), file("Dockerfile", GOOD)], tarfile.GNU_FORMAT))
    assert text == GOOD
    assert dict(listed(out))[name] == b"1"


@pytest.mark.parametrize(("name", "expected"), [(b"/a//b/./c/", b"a/b/c"), (b"a/../b", b"b"), (b".", b""), (b"..a/...", b"..a/...")])
def test_clean(name: bytes, expected: bytes) -> None:
    assert clean(name) == expected


MEMBERS = st.builds(
    Member,
    st.binary(min_size=1, max_size=300).filter(lambda name: b"\0" not in name).map(lambda name: b"n" + name.replace(b"/", b"").replace(b".", b"")),
    st.just("file"), st.integers(0, 0o7777), st.integers(0, 1 << 31), st.integers(0, 1 << 31), st.integers(0, 1 << 40), st.integers(0, 1 << 32),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(MEMBERS)
def test_headers_are_what_others_read(member: Member) -> None:
    """The standard library reads of our header what we wrote."""
    with tarfile.open(fileobj=io.BytesIO(header(member) + bytes(1024)), errors="surrogateescape", encoding="utf-8") as archive:
        info = archive.next()
    assert info is not None
    assert info.name.encode("utf-8", "surrogateescape") == member.name
    assert (info.mode, info.uid, info.gid, info.size, info.mtime) == (member.mode, member.uid, member.gid, member.size, member.mtime)
