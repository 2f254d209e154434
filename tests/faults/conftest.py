"""What the fault tests share."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.images import toolbox
from tests.conftest import engine_or_skip
from tests.engine import Engine
from tests.faults.place import git


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A small repository with one commit."""
    path = tmp_path / "repo"
    path.mkdir()
    git(path, "init", "-q", "-b", "main")
    (path / "file").write_text("base\n")
    git(path, "add", "-A")
    git(path, "commit", "-qm", "base")
    return path


@pytest.fixture(scope="module")
def toolbox_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the toolbox in it, for all cells."""
    cache = tmp_path_factory.mktemp("toolbox")
    toolbox.ensure(cache, lambda text: None)
    return cache


@pytest.fixture(scope="module")
def fault_engine() -> Iterator[Engine]:
    """An engine that the cells of a module may kill."""
    with engine_or_skip("20.10") as engine:
        yield engine


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB for aienv's home."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"a small file system needs root: {made.stderr.strip()} ({sys.platform})")
    yield place / "home"
    subprocess.run(["umount", "-l", str(place)], check=True)
