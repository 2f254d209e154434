"""When a run has had more than its limits, and when to measure again: tables of amounts."""

# ruff: noqa: E501 - a row of a table stays one line

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.model.task import Limits
from orchestrator.run.bounds import (
    FILES_AT_LEAST,
    Breach,
    Disk,
    Memory,
    Space,
    Tree,
    disk_breach,
    files_limit,
    goes_on,
    looks_hidden,
    memory_breach,
    unmeasured,
    walk_is_due,
)

MIB, GIB = 1 << 20, 1 << 30
LIMITS = Limits(cpus=1, memory_bytes=GIB, pids=64, disk_bytes=100 * MIB, open_files=64, timeout_s=60, grace_s=10)
ROOMY = Space(500 * GIB, 100 * GIB, 10_000_000, 9_000_000)
SMALL = Tree(10 * MIB, 1000, closed=0, cut=False, cost_s=0.004)
CALM = Disk(ROOMY, ROOMY, SMALL, SMALL, 0)


def held(private: int, shared: int, processes: int) -> Memory:
    return Memory(private, shared, processes, 16 * GIB, 8 * GIB, 6 * GIB)


def lost(start: Space, amount: int, files: int = 0) -> Space:
    return replace(start, free_bytes=start.free_bytes - amount, free_files=(start.free_files or 0) - files)


@pytest.mark.parametrize(
    ("disk", "said"),
    [
        pytest.param(CALM, None, id="calm"),
        pytest.param(replace(CALM, tree=replace(SMALL, blocks_bytes=100 * MIB)), None, id="just-full"),
        pytest.param(replace(CALM, tree=replace(SMALL, blocks_bytes=103 * MIB)), "stopped: the workspace holds 103.0 MiB, limit 100.0 MiB (--disk)", id="over"),
        pytest.param(replace(CALM, deleted_bytes=95 * MIB), "holds 10.0 MiB and 95.0 MiB in deleted files that are still open", id="without-a-name"),
        pytest.param(replace(CALM, tree=replace(SMALL, files=FILES_AT_LEAST)), None, id="many-files"),
        pytest.param(replace(CALM, tree=replace(SMALL, files=FILES_AT_LEAST + 1)), "holds 200,001 files and folders, and 200,000 are the most", id="too-many-files"),
        pytest.param(replace(CALM, now=lost(ROOMY, 101 * MIB)), None, id="somebody-else-writes"),
        pytest.param(replace(CALM, now=lost(ROOMY, 99 * MIB), tree=replace(SMALL, closed=2)), None, id="closed-and-little-lost"),
        pytest.param(replace(CALM, now=lost(ROOMY, 101 * MIB), tree=replace(SMALL, closed=2)), "holds 2 folders that cannot be read, and since the start the disk lost 101.0 MiB", id="closed-and-much-lost"),
        pytest.param(replace(CALM, now=lost(ROOMY, 101 * MIB), tree=replace(SMALL, cut=True)), "more than can be measured in time", id="cut-and-much-lost"),
        pytest.param(replace(CALM, now=lost(ROOMY, 99 * GIB + 200 * MIB), tree=replace(SMALL, blocks_bytes=50 * MIB)), "only 824.0 MiB are free", id="disk-full-and-much-lost"),
        pytest.param(Disk(replace(ROOMY, free_bytes=50 * MIB), replace(ROOMY, free_bytes=20 * MIB), SMALL, replace(SMALL, blocks_bytes=39 * MIB), 0), "this run wrote 29.0 MiB of the 30.0 MiB", id="disk-full-by-us"),
        pytest.param(Disk(replace(ROOMY, free_bytes=50 * MIB), replace(ROOMY, free_bytes=20 * MIB), SMALL, SMALL, 0), None, id="disk-full-by-others"),
        pytest.param(Disk(replace(ROOMY, free_bytes=50 * MIB), replace(ROOMY, free_bytes=30 * MIB), SMALL, replace(SMALL, blocks_bytes=30 * MIB), 0), None, id="nearly-full-before"),
        pytest.param(replace(CALM, now=lost(ROOMY, 0, 8_950_000), tree=replace(SMALL, files=150_000)), None, id="others-made-files"),
        pytest.param(Disk(replace(ROOMY, free_files=100_000), replace(ROOMY, free_files=40_000), SMALL, replace(SMALL, files=60_000), 0), "room for only 40,000 more files, and this run made 59,000", id="inodes-by-us"),
        pytest.param(Disk(replace(ROOMY, free_files=None), replace(ROOMY, free_files=None), SMALL, replace(SMALL, files=60_000), 0), None, id="inodes-not-counted"),
    ],
)  # fmt: skip
def test_disk(disk: Disk, said: str | None) -> None:
    """Over the limit, too many files, not to be measured and much gone, or a full disk that this run filled; else nothing."""
    breach = disk_breach(LIMITS, disk)
    assert (breach is None) == (said is None)
    if breach is not None and said is not None:
        assert said in breach.text
        assert breach.text.startswith("stopped: ")
        assert breach.limit == "disk"


def test_many_files_are_allowed_where_much_space_is() -> None:
    """One file for four KiB of the limit, and never less than a large project has."""
    assert files_limit(replace(LIMITS, disk_bytes=1)) == FILES_AT_LEAST
    assert files_limit(replace(LIMITS, disk_bytes=10 * GIB)) == 2_621_440


@pytest.mark.parametrize(
    ("since", "tree", "now", "due"),
    [
        pytest.param(9.0, SMALL, ROOMY, False, id="quiet-soon"),
        pytest.param(10.0, SMALL, ROOMY, True, id="quiet-later"),
        pytest.param(49.0, replace(SMALL, cost_s=0.5), ROOMY, False, id="quiet-and-large"),
        pytest.param(50.0, replace(SMALL, cost_s=0.5), ROOMY, True, id="quiet-and-large-later"),
        pytest.param(0.3, SMALL, lost(ROOMY, 11 * MIB), False, id="little-written"),
        pytest.param(0.3, SMALL, lost(ROOMY, 12 * MIB), True, id="an-eighth-of-the-rest"),
        pytest.param(0.1, SMALL, lost(ROOMY, 90 * MIB), False, id="at-once"),
        pytest.param(1.0, replace(SMALL, cost_s=0.5), lost(ROOMY, 90 * MIB), False, id="urgent-and-large"),
        pytest.param(2.0, replace(SMALL, cost_s=0.5), lost(ROOMY, 90 * MIB), True, id="urgent-and-large-later"),
        pytest.param(0.3, replace(SMALL, blocks_bytes=200 * MIB), lost(ROOMY, 1), True, id="over-already"),
        pytest.param(0.3, SMALL, lost(ROOMY, 0, 25_000), True, id="many-files-made"),
        pytest.param(0.3, SMALL, lost(ROOMY, -GIB), False, id="others-removed"),
    ],
)
def test_when_to_walk(since: float, tree: Tree, now: Space, due: bool) -> None:
    """By what the file system lost since; a walk that costs much is made seldom."""
    assert walk_is_due(LIMITS, since, tree, ROOMY, now) == due


@given(cost=st.floats(0, 30), written=st.integers(-GIB, GIB))
@settings(max_examples=200)
def test_a_quiet_watch_costs_less_than_two_percent(cost: float, written: int) -> None:
    """Whatever a walk costs: without much written, a hundred times as long passes before the next, and at most a fifth is ever used."""
    rest = walk_is_due(LIMITS, max(10.0, 100 * cost) - 0.01, replace(SMALL, cost_s=cost), ROOMY, ROOMY)
    assert not rest
    assert not walk_is_due(LIMITS, 3.9 * cost, replace(SMALL, cost_s=cost), ROOMY, lost(ROOMY, written))
    assert walk_is_due(LIMITS, max(10.0, 100 * cost), replace(SMALL, cost_s=cost), ROOMY, lost(ROOMY, written))


@pytest.mark.parametrize(
    ("disk", "hidden"),
    [
        (CALM, False),
        (replace(CALM, now=lost(ROOMY, 40 * MIB)), False),
        (replace(CALM, now=lost(ROOMY, 60 * MIB)), True),
        (replace(CALM, now=lost(ROOMY, 60 * MIB), tree=replace(SMALL, blocks_bytes=70 * MIB)), False),
    ],
)
def test_what_looks_hidden(disk: Disk, hidden: bool) -> None:
    """The file system lost more than the workspace shows, by more than the noise of a large disk."""
    assert looks_hidden(disk) == hidden


@pytest.mark.parametrize(
    ("watched", "memory", "said"),
    [
        (("memory",), held(900 * MIB, 124 * MIB, 10), None),
        (
            ("memory",),
            held(900 * MIB, 200 * MIB, 10),
            "900.0 MiB in processes and 200.0 MiB in files in memory, limit 1.0 GiB (--memory)",
        ),
        (("memory",), held(0, 0, 1000), None),
        (("pids",), held(9 * GIB, 0, 65), "65 processes, limit 64 (--pids)"),
        (("pids",), held(9 * GIB, 0, 64), None),
        ((), held(9 * GIB, 9 * GIB, 9999), None),
        (
            ("memory",),
            replace(held(9 * MIB, 0, 1), free_bytes=800 * MIB),
            "this machine has only 800.0 MiB of memory left, 7.2 GiB less than at the start, limit 1.0 GiB (--memory)",
        ),
        (("memory",), replace(held(9 * MIB, 0, 1), start_bytes=1800 * MIB, free_bytes=800 * MIB), None),
        (("memory",), replace(held(9 * MIB, 0, 1), free_bytes=900 * MIB), None),
        ((), replace(held(9 * MIB, 0, 1), free_bytes=1), None),
    ],
)
def test_memory(watched: tuple[str, ...], memory: Memory, said: str | None) -> None:
    """Only what nothing else holds is judged."""
    breach = memory_breach(LIMITS, watched, memory)
    assert (breach.text if breach else "").endswith(said or "")
    assert (breach is None) == (said is None)


@pytest.mark.parametrize(
    ("first", "again", "on"),
    [
        (Breach("disk", 101 * MIB, ""), Breach("disk", 101 * MIB, ""), False),
        (Breach("disk", 101 * MIB, ""), Breach("disk", 113 * MIB, ""), False),
        (Breach("disk", 101 * MIB, ""), Breach("disk", 114 * MIB, ""), True),
        (Breach("disk", 101 * MIB, ""), Breach("memory", 2 * GIB, ""), True),
        (Breach("pids", 65, ""), Breach("pids", 73, ""), False),
        (Breach("pids", 65, ""), Breach("pids", 74, ""), True),
    ],
)
def test_who_goes_on_is_ended(first: Breach, again: Breach, on: bool) -> None:
    """An agent that writes its transcript in its grace may; one that writes on as before may not."""
    assert goes_on(LIMITS, first, again) == on


@pytest.mark.parametrize(
    ("tree", "words"),
    [(SMALL, None), (replace(SMALL, closed=3), "3 of its folders cannot be read"), (replace(SMALL, cut=True), "more than can be counted in time")],
)  # fmt: skip
def test_what_could_not_be_measured_is_said(tree: Tree, words: str | None) -> None:
    assert (unmeasured(tree) or "") == "" if words is None else words in (unmeasured(tree) or "")
