"""What containers made as root is the run's user's again: by us where we are root, by a container of an engine where we are not."""

import contextlib
import os
import stat
import subprocess
import time
from pathlib import Path

import pytest

from orchestrator.guard.plain import PlainEngine
from orchestrator.guard.takeback import Means, NotTaken, _by_container, reclaim
from orchestrator.guard.takeback_program import is_foreign, take_back
from orchestrator.images import toolbox
from tests import engine as engines
from tests.engine import Engine

UID = GID = 1234


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """As a database and a build leave it, and with what only harm leaves."""
    if os.geteuid() != 0:
        pytest.skip("only root can make files of others: run the tests as root")
    root = tmp_path / "workspace"
    (root / "data" / "closed").mkdir(parents=True)
    (root / "data" / "closed" / "table").write_bytes(b"rows")
    (root / "mine").write_text("x")
    (root / "tool").write_text("#!/bin/sh\n")
    os.chmod(root / "tool", 0o4755)
    (root / "out").symlink_to(tmp_path / "outside")
    (tmp_path / "outside").write_text("not yours")
    os.mknod(root / "disk", stat.S_IFBLK | 0o666, os.makedev(7, 0))
    os.mkfifo(root / "pipe")
    deep = root
    for _ in range(300):
        deep = deep / "d"
        deep.mkdir()
    os.chown(root / "data" / "closed", 999, 999)
    os.chown(root / "data" / "closed" / "table", 999, 999)
    os.chmod(root / "data" / "closed" / "table", 0o600)
    os.chmod(root / "data" / "closed", 0o700)
    for path in (root, root / "mine"):
        os.chown(path, UID, GID)
    return root


def assert_taken(root: Path) -> None:
    assert not is_foreign(root, UID)
    assert (root / "data" / "closed" / "table").read_bytes() == b"rows"
    assert not os.path.lexists(root / "disk"), "whoever owns a device has the disk"
    assert not stat.S_IMODE((root / "tool").stat().st_mode) & stat.S_ISUID
    assert (root.parent / "outside").stat().st_uid == 0, "a link is not followed"
    assert (root / "out").is_symlink()
    assert (root / "out").lstat().st_uid == UID
    found = subprocess.run(["find", str(root), "!", "-user", str(UID)], capture_output=True, text=True, timeout=30, check=True)
    assert found.stdout == ""


def test_by_root(tree: Path) -> None:
    reclaim(tree, UID, GID, Means("unix:///nowhere", "x", None, None), 10.0)
    assert_taken(tree)
    assert take_back(tree, UID, GID) == 0, "a second time there is nothing to do"


@pytest.mark.docker
@pytest.mark.parametrize("own_image", [True, False], ids=["image", "void"])
def test_by_a_container(tree: Path, any_engine: Engine, test_cache: Path, own_image: bool) -> None:
    with contextlib.closing(any_engine.client()) as client:
        image = client.inspect_image(engines.image(any_engine, "busybox"))["Id"] if own_image else None
        means = Means(any_engine.address, "takeback-test", image, str(toolbox.ensure(test_cache, print)))
        engine = PlainEngine(any_engine.address, time.monotonic() + 60)
        with contextlib.closing(engine):
            _by_container(engine, tree, UID, GID, means, 60.0)
        assert_taken(tree)
        assert client.containers(all=True, filters={"label": "dev.aienv.run=takeback-test"}) == []


def test_without_means(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not root and has nothing to do it with is told; where nothing is foreign nothing is needed."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NotTaken, match="toolbox"):
        reclaim(tree, UID, GID, Means("unix:///nowhere", "x", None, None), 5.0)
    take_back(tree, UID, GID)
    reclaim(tree, UID, GID, Means("unix:///nowhere", "x", None, None), 5.0)
