"""Writing below a hostile folder, against a real file system."""

import os
from pathlib import Path

import pytest

from orchestrator.errors import EnvironmentFailed
from orchestrator.repos import tree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder whose ``out`` leads outside, where ``precious`` lies."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_text("precious")
    (tmp_path / "root" / "dir").mkdir(parents=True)
    (tmp_path / "root" / "dir" / "file").write_text("old")
    os.symlink("../outside", tmp_path / "root" / "out")
    os.symlink("../outside/precious", tmp_path / "root" / "link")
    return tmp_path / "root"


@pytest.mark.parametrize("path", [b"", b"/etc/x", b"../x", b"a/../x", b"a//b", b"./x", b"a/", b".git/config", b"a/.GIT/hooks/x", b"a\0b"])
def test_paths_that_are_refused(root: Path, path: bytes) -> None:
    """Absolute, climbing and git-folder paths do not reach the file system."""
    with tree.opened(root) as descriptor, pytest.raises(EnvironmentFailed, match="cannot be used"):
        tree.write_file(descriptor, path, (b"x",), executable=False)


@pytest.mark.parametrize("path", [b".gitignore", b"a.git/x", b"..x/y", b"new\nline", b"\xff", b"-x"])
def test_paths_that_pass(root: Path, path: bytes) -> None:
    """The nearest harmless names."""
    with tree.opened(root) as descriptor:
        tree.write_file(descriptor, path, (b"x",), executable=True)
        assert b"".join(tree.read_chunks(descriptor, path)) == b"x"
        assert os.access(os.path.join(os.fsencode(root), path), os.X_OK)


def test_links_are_not_followed(root: Path) -> None:
    """A write through a linked folder fails; a write on a link replaces the link; nothing outside changes."""
    with tree.opened(root) as descriptor:
        for action in (
            lambda: tree.write_file(descriptor, b"out/precious", (b"x",), executable=False),
            lambda: tree.write_link(descriptor, b"out/new", b"x"),
            lambda: tuple(tree.read_chunks(descriptor, b"out/precious")),
            lambda: tuple(tree.read_chunks(descriptor, b"link")),
        ):
            with pytest.raises(OSError):
                action()
        tree.remove(descriptor, b"out/precious")
        assert tree.status_of(descriptor, b"out/precious") is None
        tree.write_file(descriptor, b"link", (b"mine",), executable=False)
    assert (root / "link").read_text() == "mine"
    assert os.listdir(root.parent / "outside") == ["precious"]
    assert (root.parent / "outside" / "precious").read_text() == "precious"


def test_hard_links_are_not_written_through(root: Path) -> None:
    """A file that shares its content with another is replaced, not overwritten."""
    os.link(root.parent / "outside" / "precious", root / "shared")
    with tree.opened(root) as descriptor:
        tree.write_file(descriptor, b"shared", (b"mine",), executable=False)
    assert (root.parent / "outside" / "precious").read_text() == "precious"


def test_broken_source_leaves_nothing(root: Path) -> None:
    """When the content fails half way, the old file is still there and no half file is."""

    def content() -> object:
        yield b"half"
        raise RuntimeError

    with tree.opened(root) as descriptor, pytest.raises(RuntimeError):
        tree.write_file(descriptor, b"dir/file", content(), executable=False)  # type: ignore[arg-type]
    assert (root / "dir" / "file").read_text() == "old"
    assert os.listdir(root / "dir") == ["file"]


def test_remove(root: Path) -> None:
    """Files and links go, with the folders that become empty; folders and what is missing stay as they are."""
    (root / "dir" / "sub").mkdir()
    (root / "dir" / "sub" / "x").write_text("")
    with tree.opened(root) as descriptor:
        tree.remove(descriptor, b"dir/sub")
        tree.remove(descriptor, b"dir/missing/x")
        tree.remove(descriptor, b"dir/file/x")
        assert (root / "dir" / "sub" / "x").exists()
        tree.remove(descriptor, b"dir/sub/x")
        assert (root / "dir" / "file").exists()
        tree.remove(descriptor, b"dir/file")
        tree.remove(descriptor, b"out")
    assert sorted(os.listdir(root)) == ["link"]
    assert (root.parent / "outside" / "precious").exists()


def test_the_root_itself_may_not_be_a_link(root: Path) -> None:
    """Neither is the folder to start from taken through a link."""
    os.symlink(root, root.parent / "alias")
    with pytest.raises(OSError), tree.opened(root.parent / "alias"):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_give(root: Path) -> None:
    """Ownership of links changes on the link; what it points to stays whose it was."""
    tree.give(root, 12345, 12345)
    assert {os.lstat(path).st_uid for path in (root, *root.rglob("*"))} == {12345}
    assert os.stat(root.parent / "outside" / "precious").st_uid == 0
