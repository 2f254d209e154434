"""Archives of packages, also hostile ones: what comes out are plain files below the folder."""

import io
import tarfile
from pathlib import Path

import pytest

from orchestrator.agents.unpack import unpack
from orchestrator.errors import EnvironmentFailed

Entry = tuple[str, bytes | None, dict[str, object]]


def archive(*entries: Entry, mode: str = "w:gz") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tar:  # type: ignore[call-overload]
        for name, data, settings in entries:
            member = tarfile.TarInfo(name)
            member.size = len(data or b"")
            for key, value in settings.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(data or b""))
    return stream.getvalue()


def unpacked(tmp_path: Path, data: bytes) -> dict[str, bytes]:
    (tmp_path / "a.tgz").write_bytes(data)
    unpack(tmp_path / "a.tgz", tmp_path / "out", "the archive of x 1")
    return {str(path.relative_to(tmp_path / "out")): path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}


def test_files_and_modes(tmp_path: Path) -> None:
    """The outermost folder goes, whatever its name; owners, set-id bits and times are not taken over."""
    found = unpacked(tmp_path, archive(("package/a.js", b"1", {"mode": 0o666}), ("package/bin/x", b"2", {"mode": 0o4755, "uid": 7})))
    assert found == {"a.js": b"1", "bin/x": b"2"}
    assert (tmp_path / "out/a.js").stat().st_mode & 0o7777 == 0o644
    assert (tmp_path / "out/bin/x").stat().st_mode & 0o7777 == 0o755


def test_later_wins(tmp_path: Path) -> None:
    """Real archives hold a name twice."""
    assert unpacked(tmp_path, archive(("package/a", b"old", {}), ("package/a", b"new", {}))) == {"a": b"new"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE], ids=["symlink", "hardlink", "fifo"])
def test_links_are_left_out(tmp_path: Path, kind: bytes) -> None:
    """As npm does; so a file 'below a link' lies in a plain folder."""
    data = archive(("package/l", None, {"type": kind, "linkname": "/etc"}), ("package/l/passwd", b"x", {}))
    assert unpacked(tmp_path, data) == {"l/passwd": b"x"}
    assert not (tmp_path / "out/l").is_symlink()


@pytest.mark.parametrize(
    ("data", "because"),
    [
        pytest.param(archive(("package/../../x", b"1", {})), "leads out", id="dot-dot"),
        pytest.param(archive(("package/d", None, {"type": tarfile.CHRTYPE})), "device", id="device"),
        pytest.param(archive(("package/a", b"1", {}))[:-20], "cut off|no proper", id="cut"),
        pytest.param(b"no archive at all, only a page of some proxy" * 20, "no tar|header", id="page"),
        pytest.param(b"", "empty", id="empty"),
        pytest.param(archive(("package/" + "x" * 300, b"1", {})), "too long", id="long-name"),
        pytest.param(archive(("package/z", bytes(100 << 20), {})), "times its size", id="bomb"),
        pytest.param(archive(("package/a", b"", {}), ("package/a/b", b"", {})), "cannot be unpacked", id="file-as-folder"),
    ],
)
def test_refused(tmp_path: Path, data: bytes, because: str) -> None:
    with pytest.raises(EnvironmentFailed, match=because):
        unpacked(tmp_path, data)
    assert not (tmp_path / "x").exists()


def test_absolute_names_stay_below(tmp_path: Path) -> None:
    """The slash does not count."""
    assert unpacked(tmp_path, archive(("/etc/aienv-test-x", b"1", {}))) == {"aienv-test-x": b"1"}
