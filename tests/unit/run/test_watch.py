"""The watching thread, over real folders and processes."""

import os
import queue
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.model.task import Limits
from orchestrator.run import bounds, usage
from orchestrator.run.bounds import Breach
from orchestrator.run.watch import Watch, watching

MIB = 1 << 20
LIMITS = Limits(cpus=1, memory_bytes=1 << 40, pids=100_000, disk_bytes=2 * MIB, open_files=64, timeout_s=60, grace_s=1)
WAIT_S = 20.0


def write(path: Path, count: int) -> None:
    with path.open("wb") as file:
        file.write(os.urandom(count))
        file.flush()
        os.fsync(file.fileno())


def test_it_tells_once_and_again_when_it_goes_on(tmp_path: Path) -> None:
    """The first breach, then silence while little more is written, then each time that it goes on."""
    told: queue.SimpleQueue[Breach] = queue.SimpleQueue()
    with watching(tmp_path, LIMITS, (), lambda: None, told.put) as watch:
        write(tmp_path / "a", MIB)
        with pytest.raises(queue.Empty):
            told.get(timeout=1.0)
        write(tmp_path / "b", 2 * MIB)
        first = told.get(timeout=WAIT_S)
        assert (watch.breach, first.limit) == (first, "disk")
        assert "limit 2.0 MiB (--disk)" in first.text
        write(tmp_path / "c", 100_000)
        with pytest.raises(queue.Empty):
            told.get(timeout=1.0)
        write(tmp_path / "d", MIB)
        assert told.get(timeout=WAIT_S).amount > first.amount
    assert watch.notes == []


def test_a_workspace_that_was_too_big_before(tmp_path: Path) -> None:
    """Told at once."""
    write(tmp_path / "a", 3 * MIB)
    told: queue.SimpleQueue[Breach] = queue.SimpleQueue()
    with watching(tmp_path, LIMITS, (), lambda: None, told.put):
        assert told.get(timeout=WAIT_S).limit == "disk"


def test_a_workspace_that_cannot_be_measured(tmp_path: Path) -> None:
    """Said once; the run goes on."""
    with watching(tmp_path / "missing", LIMITS, (), lambda: None, lambda breach: None) as watch:
        threading.Event().wait(4 * bounds.POLL_S)
    assert watch.breach is None
    assert watch.notes == ["the run's use of disk and memory could not be measured (No such file or directory)"]


@pytest.mark.parametrize(
    ("unlimited", "change", "limit"),
    [
        (("memory", "disk"), {"memory_bytes": 1 << 20}, "memory"),
        (("pids",), {"pids": 0}, "pids"),
        (("cpus",), {"memory_bytes": 1 << 20, "pids": 0}, None),
    ],
)
def test_what_nothing_else_holds_is_watched(tmp_path: Path, unlimited: tuple[str, ...], change: dict[str, int], limit: str | None) -> None:
    """Below the pid that it is given, and nothing but what is unlimited here."""
    told: queue.SimpleQueue[Breach] = queue.SimpleQueue()
    child = os.fork()
    if child == 0:
        held = os.urandom(8 * MIB)
        threading.Event().wait(60 + len(held) * 0)
        os._exit(0)
    try:
        with watching(tmp_path, replace(LIMITS, **change), unlimited, os.getpid, told.put):  # type: ignore[arg-type]
            if limit is None:
                with pytest.raises(queue.Empty):
                    told.get(timeout=1.5)
            else:
                assert told.get(timeout=WAIT_S).limit == limit
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_no_word_comes_after_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk that is under way when the command ends is left off, and what it found is not told."""
    began, told = threading.Event(), []
    real = usage.walk

    def slow(*arguments: object) -> bounds.Tree:
        began.set()
        threading.Event().wait(0.5)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(usage, "walk", slow)
    write(tmp_path / "a", 3 * MIB)
    watch = Watch(tmp_path, LIMITS, (), lambda: None, told.append)
    watch.start()
    assert began.wait(WAIT_S)
    watch.close()
    assert (told, watch.breach) == ([], None)
