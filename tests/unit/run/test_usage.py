"""Measuring what an agent wrote and what its processes hold, with real files and real processes."""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.run import usage

MANY = 10_000_000


def fill(path: Path, count: int) -> int:
    """Write ``count`` bytes that no file system makes smaller; the bytes that they take on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(os.urandom(count))
        file.flush()
        os.fsync(file.fileno())
    return path.stat().st_blocks * 512


def test_a_folder_is_its_blocks(tmp_path: Path) -> None:
    """What lies on disk: holes are not counted, a file with two names once, folders too."""
    expected = fill(tmp_path / "a/one", 100_000) + fill(tmp_path / "a/b/two", 5_000)
    os.link(tmp_path / "a/one", tmp_path / "a/b/again")
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(1 << 40)
    folders = sum(path.stat().st_blocks * 512 for path in (tmp_path, tmp_path / "a", tmp_path / "a/b"))
    tree = usage.walk(tmp_path, MANY)
    assert (tree.blocks_bytes - folders, tree.files, tree.complete) == (expected, 6, True)


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Neither out of the folder nor round in circles; what is special is not opened."""
    fill(tmp_path / "outside/big", 1 << 20)
    work = tmp_path / "work"
    work.mkdir()
    (work / "out").symlink_to(tmp_path / "outside")
    (work / "round").symlink_to(work)
    (work / "gone").symlink_to("nowhere")
    (work / "proc").symlink_to("/proc")
    os.mkfifo(work / "pipe")
    tree = usage.walk(work, MANY)
    assert (tree.files, tree.complete) == (5, True)
    assert tree.blocks_bytes < 1 << 20


def test_the_folder_itself_must_be_one(tmp_path: Path) -> None:
    """A link in its place is not followed either."""
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("link", "missing"):
        with pytest.raises(OSError):
            usage.walk(tmp_path / name, MANY)


def test_a_deep_tree(tmp_path: Path) -> None:
    """Deeper than paths may be long: measured as far as it goes, and what lies below counts as closed."""
    top = os.open(tmp_path, os.O_RDONLY)
    place = top
    for _ in range(300):
        os.mkdir("a" * 100, dir_fd=place)
        below = os.open("a" * 100, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = below
    os.close(place)
    before = len(os.listdir("/proc/self/fd"))
    tree = usage.walk(tmp_path, MANY)
    assert (tree.closed, tree.complete, tree.files) == (1, False, usage.DEPTH)
    assert len(os.listdir("/proc/self/fd")) == before


def test_it_ends_early(tmp_path: Path) -> None:
    """With more entries than anybody may have, and when it is told to."""
    for number in range(5000):
        (tmp_path / f"f{number}").touch()
    tree = usage.walk(tmp_path, 2000)
    assert (tree.cut, tree.complete) == (True, False)
    assert 2000 < tree.files <= 2000 + usage.CHECK_EVERY
    assert usage.walk(tmp_path, MANY, stop=lambda: True).files == usage.CHECK_EVERY


@contextlib.contextmanager
def ordinary_user() -> Iterator[None]:
    """Without root's right to read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65533)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_closed_folder_is_counted_as_closed() -> None:
    """Its contents are unknown, and that is said; what is beside it is counted."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        fill(folder / "beside", 100_000)
        (folder / "closed").mkdir(mode=0)
        with ordinary_user():
            tree = usage.walk(folder, MANY)
        (folder / "closed").chmod(0o700)
    assert (tree.closed, tree.complete, tree.files) == (1, False, 2)
    assert tree.blocks_bytes >= 100_000


def test_a_tree_that_changes_while_it_is_read(tmp_path: Path) -> None:
    """Folders that become links, files that go: an answer all the same, never an error."""
    over = threading.Event()

    def change() -> None:
        place = tmp_path / "d"
        while not over.is_set():
            with contextlib.suppress(OSError):
                (place / "sub").mkdir(parents=True)
                (place / "sub/f").touch()
                (place / "sub/f").unlink()
                (place / "sub").rmdir()
                place.rmdir()
                place.symlink_to("/usr")
                place.unlink()

    thread = threading.Thread(target=change)
    thread.start()
    try:
        trees = [usage.walk(tmp_path, MANY) for _ in range(200)]
    finally:
        over.set()
        thread.join()
    assert max(tree.files for tree in trees) <= 3


def test_space(tmp_path: Path) -> None:
    """What statvfs says, for those who are not root."""
    found, facts = usage.space(tmp_path), os.statvfs(tmp_path)
    assert found.total_bytes == facts.f_blocks * facts.f_frsize
    assert 0 < found.free_bytes < found.total_bytes
    with pytest.raises(OSError):
        usage.space(tmp_path / "missing")


# --- processes --------------------------------------------------------------------------------------------------------

HOLDER = """
import mmap, os, sys, time
kind, size = sys.argv[1], int(sys.argv[2])
if kind == "private": held = bytearray(b"x") * size
elif kind == "shared":
    held = mmap.mmap(-1, size); held.write(b"x" * size)
elif kind == "memfd":
    held = os.memfd_create("m"); os.write(held, b"x" * size)
elif kind == "forked":
    held = bytearray(b"x") * size
    for _ in range(3):
        if os.fork() == 0: time.sleep(60); os._exit(0)
elif kind == "deleted":
    held = open(sys.argv[3], "wb"); held.write(os.urandom(size)); held.flush(); os.fsync(held.fileno()); os.unlink(sys.argv[3])
print("ready", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def holding(kind: str, size: int, *more: str) -> Iterator[int]:
    """A shell whose child holds so much: the shell's pid."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", '"$0" -c "$@" ; true', sys.executable, HOLDER, kind, str(size), *more],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
    finally:
        os.killpg(process.pid, 9)
        process.communicate()


MIB = 1 << 20


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [("private", 64, 90), ("shared", 64, 90), ("memfd", 64, 90), ("forked", 64, 110)],
)
def test_memory_of_a_tree(kind: str, least: int, most: int) -> None:
    """However it is held, and pages that several share once."""
    with holding(kind, 64 * MIB) as pid:
        found = usage.memory(pid, limit_bytes=1, start_bytes=0)
        assert least * MIB <= found.all_bytes <= most * MIB
        assert found.processes == (4 if kind == "forked" else 1)


def test_a_rough_sum_is_enough_below_the_limit() -> None:
    """Nothing is read page by page as long as even the rough sum is small."""
    with holding("private", 8 * MIB) as pid:
        assert usage.memory(pid, limit_bytes=1 << 40, start_bytes=0).all_bytes >= 8 * MIB


def test_files_without_a_name(tmp_path: Path) -> None:
    """Written, deleted and still open: no walk sees them."""
    with holding("deleted", 4 * MIB, str(tmp_path / "file")) as pid:
        assert usage.walk(tmp_path, MANY).files == 0
        assert 4 * MIB <= usage.deleted_bytes(pid, tmp_path) <= 5 * MIB
    assert usage.deleted_bytes(pid, tmp_path) == 0


def test_a_tree_of_processes() -> None:
    """Parents first, with those that begin and end while it is read; one that is gone has nobody."""
    child = subprocess.Popen(["/bin/sh", "-c", "sleep 60 & sleep 60 & wait"], start_new_session=True)
    try:
        limit = time.monotonic() + 10
        while len(found := usage.tree_of(child.pid)) < 3 and time.monotonic() < limit:
            time.sleep(0.02)
        assert (found[0], len(found)) == (child.pid, 3)
        assert set(found) < set(usage.tree_of(os.getpid()))
    finally:
        os.killpg(child.pid, 9)
        child.wait()
    assert usage.tree_of(child.pid) == [child.pid]


def test_this_machines_memory() -> None:
    """More than nothing is available, and never more than there is."""
    every, available = usage.machine_memory()
    assert 0 < available <= every
