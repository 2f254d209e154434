"""Walking and removing what an agent wrote, however deep; as the ordinary user who owns it: root's rights hide every closed folder."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import trees

ORDINARY = 65533
DEPTH = 2500  # beyond Python's recursion, the usual 1024 descriptors, and with these names beyond the longest path


def test_closed_folders_are_opened_and_links_left_alone(tmp_path: Path) -> None:
    """Read-only folders with files, closed ones inside closed ones, and a link out of the tree."""
    for folder in (tmp_path, *[parent for parent in tmp_path.parents if parent.name.startswith(("pytest", "popen"))]):
        folder.chmod(0o755)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    tree = tmp_path / "place" / "tree"
    (tree / "cache" / "module").mkdir(parents=True)
    (tree / "cache" / "module" / "file").write_text("x")
    (tree / "a" / "b" / "c").mkdir(parents=True)
    (tree / "a" / "b" / "c" / "file").write_text("x")
    (tree / "link").symlink_to(outside)
    if os.geteuid() == 0:
        for path in (tree.parent, tree, *tree.rglob("*")):
            os.lchown(path, ORDINARY, ORDINARY)
    for name in ("cache/module", "cache", "a/b/c", "a/b", "a", "."):
        os.chmod(tree / name, 0o555 if name.startswith("cache") else 0o000)
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setresuid(ORDINARY, ORDINARY, ORDINARY)
        try:
            trees.remove(tree)
        except BaseException:  # noqa: BLE001 - the child must end here whatever happened; its code tells the test
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not os.path.lexists(tree)
    assert (outside / "kept").read_text() == "kept"
    assert oct(outside.stat().st_mode & 0o777) == "0o755"


def test_what_is_gone_is_no_error(tmp_path: Path) -> None:
    """Undo is content with nothing."""
    trees.remove(tmp_path / "never")
    assert not (tmp_path / "never").exists()


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """Folders in each other, with a file of one block at the end, and one closed folder beside it. pytest itself could not remove them."""
    folder = tmp_path / "tree"
    folder.mkdir()
    here = os.open(folder, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir("deep", dir_fd=here)
        below = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.mkdir("closed", 0o000, dir_fd=here)
    last = os.open("last", os.O_WRONLY | os.O_CREAT, dir_fd=here)
    os.write(last, b"x" * 4096)
    os.close(last)
    os.close(here)
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


def test_deep_folders(tmp_path: Path, deep: Path) -> None:
    """Walked, measured and removed like others."""
    (tmp_path / "link").symlink_to(deep)
    found = [(folders, others) for _, folders, others in trees.walk(tmp_path)]
    assert len(found) == DEPTH + 3
    assert found[0] == (["tree"], ["link"])
    assert (["closed"], ["last"]) in found
    assert trees.size(tmp_path) >= 4096
    trees.remove(deep)
    assert os.listdir(tmp_path) == ["link"]


def test_walks_are_pruned_and_links_not_followed(tmp_path: Path) -> None:
    """What is taken off the list is not gone into; a link to a folder is none, and no beginning either."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "link").symlink_to(tmp_path / "a")
    seen = []
    for _, folders, others in trees.walk(tmp_path):
        seen += [*folders, *others]
        folders[:] = [name for name in folders if name != "a"]
    assert sorted(seen) == ["a", "c", "link"]
    for act in (lambda: trees.remove(tmp_path / "c" / "link"), lambda: list(trees.walk(tmp_path / "c" / "link"))):
        with pytest.raises(OSError):
            act()
    assert sorted(os.listdir(tmp_path)) == ["a", "c"]
    assert sorted(place for place, _, _ in trees.walk_paths(tmp_path)) == [str(tmp_path / name) for name in ("", "a", "a/b", "c")]


def test_links_in_a_circle_hide_nothing(tmp_path: Path) -> None:
    """Looking at one is an error (ELOOP); what stands beside it is listed all the same."""
    for name in ("a", "b", "c", "d"):
        (tmp_path / name).mkdir()
        (tmp_path / f"circle-{name}").symlink_to(f"circle-{name}")
        (tmp_path / f"{name}.txt").touch()
    ((_, folders, files), *below) = trees.walk_paths(tmp_path)
    assert sorted(folders) == ["a", "b", "c", "d"]
    assert sorted(files) == ["a.txt", "b.txt", "c.txt", "circle-a", "circle-b", "circle-c", "circle-d", "d.txt"]
    assert len(below) == 4
