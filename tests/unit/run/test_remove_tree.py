"""Removing what an agent wrote, as the ordinary user who owns it: root's rights would hide every closed folder."""

import os
from pathlib import Path

from orchestrator.run.teardown import remove_tree

ORDINARY = 65533


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
            remove_tree(tree)
        except BaseException:  # noqa: BLE001 - the child must end here whatever happened; its code tells the test
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not os.path.lexists(tree)
    assert (outside / "kept").read_text() == "kept"
    assert oct(outside.stat().st_mode & 0o777) == "0o755"


def test_what_is_gone_is_no_error(tmp_path: Path) -> None:
    """Undo is content with nothing."""
    remove_tree(tmp_path / "never")
    assert not (tmp_path / "never").exists()
