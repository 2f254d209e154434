"""Archives of features: what comes out, and what hostile ones hold."""

import contextlib
import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.devcontainer.features import unpack as module
from orchestrator.devcontainer.features.unpack import unpack
from orchestrator.errors import EnvironmentFailed


def tar(*members: tuple[str, bytes | None], mode: int = 0o644, change: Callable[[tarfile.TarInfo], None] = lambda member: None) -> bytes:
    """``None``: a folder."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.mode = (
                (tarfile.DIRTYPE, 0, 0o755) if content is None else (tarfile.REGTYPE, len(content), mode)
            )
            change(member)
            archive.addfile(member, io.BytesIO(content or b""))
    return stream.getvalue()


def unpacked(tmp_path: Path, data: bytes) -> dict[str, bytes]:
    (tmp_path / "layer.tgz").write_bytes(data)
    (tmp_path / "new").mkdir()
    unpack(tmp_path / "layer.tgz", tmp_path / "new", "the archive")
    return {str(path.relative_to(tmp_path / "new")): path.read_bytes() for path in (tmp_path / "new").rglob("*") if path.is_file()}


@pytest.mark.parametrize("pack", [pytest.param(bytes, id="plain"), pytest.param(gzip.compress, id="gzip")])
def test_files(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    data = tar(("./", None), ("./install.sh", b"x"), ("./lib", None), ("./lib/a", b"y" * 3000), ("deep/er/b", b""))
    assert unpacked(tmp_path, pack(data)) == {"install.sh": b"x", "lib/a": b"y" * 3000, "deep/er/b": b""}


@pytest.mark.parametrize(("given", "kept"), [(0o644, 0o644), (0o100, 0o755), (0o6777, 0o755), (0, 0o644)])
def test_modes(tmp_path: Path, given: int, kept: int) -> None:
    unpacked(tmp_path, tar(("x", b""), mode=given))
    assert (tmp_path / "new/x").stat().st_mode & 0o7777 == kept & ~_umask()


def _umask() -> int:
    mask = os.umask(0o22)
    os.umask(mask)
    return mask


def kind(flag: bytes, target: str = "") -> Callable[[tarfile.TarInfo], None]:
    def change(member: tarfile.TarInfo) -> None:
        member.type, member.linkname, member.size = flag, target, 0

    return change


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(tar(("../x", b"")), id="dot-dot"),
        pytest.param(tar(("a/../../x", b"")), id="dot-dot-within"),
        pytest.param(tar(("x", b""), change=kind(tarfile.SYMTYPE, "/etc")), id="symlink"),
        pytest.param(tar(("x", b""), change=kind(tarfile.LNKTYPE, "/etc/passwd")), id="hard-link"),
        pytest.param(tar(("x", b""), change=kind(tarfile.CHRTYPE)), id="device"),
        pytest.param(tar(("x", b""), change=kind(tarfile.BLKTYPE)), id="block-device"),
        pytest.param(tar(("x", b""), change=kind(tarfile.FIFOTYPE)), id="fifo"),
        pytest.param(tar(("x", b"1"), ("./x", b"2")), id="twice"),
        pytest.param(tar(("x", b"1"), ("x/y", b"2")), id="below-a-file"),
        pytest.param(tar(("x", b"1"), ("x", None)), id="folder-over-a-file"),
        pytest.param(tar(("x" * 300, b"")), id="long-name"),
        pytest.param(tar(("x", b"abc"))[:600], id="cut-off"),
        pytest.param(gzip.compress(tar(("x", b"abc")))[:-20], id="gzip-cut-off"),
        pytest.param(b"<html>not found</html>" * 100, id="page"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\x28\xb5\x2f\xfd" + bytes(600), id="zstd"),
    ],
)
def test_refused(tmp_path: Path, data: bytes) -> None:
    before = Path("/etc/passwd").stat().st_mtime_ns
    with pytest.raises(EnvironmentFailed):
        unpacked(tmp_path, data)
    assert {path.name for path in tmp_path.iterdir()} == {"layer.tgz", "new"}
    assert Path("/etc/passwd").stat().st_mtime_ns == before


def test_an_absolute_name_is_below_the_folder(tmp_path: Path) -> None:
    """As every tar reads it."""
    assert unpacked(tmp_path, tar(("/etc/x", b"1"))) == {"etc/x": b"1"}


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_UNPACKED", 1 << 20)
    with pytest.raises(EnvironmentFailed, match="larger than 1 MiB"):
        unpacked(tmp_path, gzip.compress(tar(("x", bytes(8 << 20)))))


def test_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 3)
    with pytest.raises(EnvironmentFailed, match="more than 3 members"):
        unpacked(tmp_path, tar(*((f"f{number}", b"") for number in range(4))))


GOOD = tar(("a", b"x" * 600), ("b/c", b"y"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=4))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]) -> None:
    folder = tmp_path_factory.mktemp("any")
    data = bytearray(GOOD)
    for place, byte in changes:
        data[place] = byte
    with contextlib.suppress(EnvironmentFailed):
        unpacked(folder, bytes(data))
    assert {path.name for path in folder.iterdir()} == {"layer.tgz", "new"}
