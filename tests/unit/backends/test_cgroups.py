"""Control groups: where they may be made by what real kernels show, and, where this machine has them, real ones."""

# ruff: noqa: E501 - a row of a table stays one line

import os
import secrets
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.backends import cgroups
from orchestrator.backends.cgroups import Groups, Home, Pressure, Setting, candidates, find_groups, recorded, settings
from orchestrator.errors import EnvironmentFailed
from orchestrator.model.task import Limits

LIMITS = Limits(cpus=1, memory_bytes=64 << 20, pids=20, disk_bytes=1 << 20, open_files=64, timeout_s=60, grace_s=1)

V1 = """\
9:name=systemd:/
8:pids:/user.slice/user-1000.slice
5:cpu,cpuacct:/
4:memory:/jobs/17
0::/
"""
V1_MOUNTS = """\
24 1 0:22 / / rw,relatime - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
V2_MOUNTS = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
# A container without a namespace of its own for groups: it sees its own part of the tree only.
BOUND = "700 690 0:32 /docker/0abc /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory\n"


@pytest.mark.parametrize(
    ("controller", "cgroup", "mounts", "folders"),
    [
        pytest.param("memory", V1, V1_MOUNTS, ["/sys/fs/cgroup/memory/jobs/17"], id="v1-inside-our-own"),
        pytest.param("pids", V1, V1_MOUNTS, ["/sys/fs/cgroup/pids/user.slice/user-1000.slice"], id="v1-pids"),
        pytest.param("cpuacct", V1, V1_MOUNTS, ["/sys/fs/cgroup/cpu,cpuacct"], id="v1-two-controllers"),
        pytest.param("memory", V1, "", [], id="v1-not-mounted"),
        pytest.param("memory", "4:memory:/docker/0abc\n", BOUND, ["/sys/fs/cgroup/memory"], id="v1-bound-into-a-container"),
        pytest.param("memory", "4:memory:/docker/other\n", BOUND, [], id="v1-not-visible-here"),
        pytest.param("memory", "0::/user.slice/app.scope\n", V2_MOUNTS, ["/sys/fs/cgroup/user.slice/app.scope", "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup"], id="v2-upwards"),
        pytest.param("pids", "0::/\n", V2_MOUNTS, ["/sys/fs/cgroup"], id="v2-root"),
        pytest.param("pids", "0::/../../other\n", V2_MOUNTS, [], id="v2-outside-of-our-namespace"),
        pytest.param("memory", "4:memory:/../x\n", V1_MOUNTS, [], id="v1-outside-of-our-namespace"),
        pytest.param("memory", "", V2_MOUNTS, [], id="no-groups"),
        pytest.param("memory", "garbage\n\n:::\n4:memory\n", V1_MOUNTS, [], id="nonsense"),
        pytest.param("memory", "0::/a b\n", "30 23 0:26 / /sys/fs/c\\040g rw - cgroup2 cgroup2 rw\n", ["/sys/fs/c g/a b", "/sys/fs/c g"], id="blanks"),
    ],
)  # fmt: skip
def test_where_groups_may_be_made(controller: str, cgroup: str, mounts: str, folders: list[str]) -> None:
    """Version 1: in our own group. Version 2: in the nearest that may have groups, from our own upwards, never above the mount."""
    assert [str(home.folder) for home in candidates(controller, cgroup, mounts)] == folders


def test_what_is_written() -> None:
    """Both versions; swap is off where that can be said."""
    assert settings("pids", 1, LIMITS) == settings("pids", 2, LIMITS) == (Setting("pids.max", "20", True),)
    assert [(one.file, one.value) for one in settings("memory", 2, LIMITS)] == [("memory.max", "67108864"), ("memory.swap.max", "0")]
    assert [one.file for one in settings("memory", 1, LIMITS) if one.needed] == ["memory.limit_in_bytes"]
    half = replace(LIMITS, cpus=0.5)
    assert settings("cpu", 2, half) == (Setting("cpu.max", "50000 100000", True),)
    assert [(one.file, one.value) for one in settings("cpu", 1, half)] == [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "50000")]


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("/sys/fs/cgroup/memory/aienv-r-task\n/sys/fs/cgroup/pids/aienv-r-task\n", 2),
        ("/sys/fs/cgroup/memory/aienv-other-task\n", 0),
        ("/sys/fs/cgroup/memory\n", 0),
        ("relative/aienv-r-task\n", 0),
        ("/sys/fs/../home/aienv-r-task\n", 0),
        ("", 0),
    ],
)
def test_only_the_runs_own_groups_are_removed(text: str, paths: int) -> None:
    """The record lies in a folder that another user may write."""
    assert len(recorded(text, "aienv-r-task")) == paths


@pytest.fixture
def groups() -> Groups:
    found = find_groups()
    if found is None:
        pytest.skip("this user may make no control groups here")
    return found


def wait_for_end(process: "subprocess.Popen[bytes]") -> int:
    return process.wait(20)


def test_a_group_holds_what_was_put_into_it(groups: Groups, tmp_path: Path) -> None:
    """Made, entered, limited, told about, removed with what still runs in it; a second removal finds nothing."""
    name = f"aienv-{secrets.token_hex(4)}-task"
    record = tmp_path / "record"
    folders = groups.folders(name)
    try:
        groups.make(name, LIMITS, record)
        groups.make(name, LIMITS, record)  # a second attempt of the same run
        assert recorded(record.read_text(), name) == folders
        child = subprocess.Popen(["/bin/sh", "-c", "read go; i=0; while [ $i -lt 60 ]; do sleep 60 & i=$((i+1)); done; wait"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)  # fmt: skip
        assert cgroups.pressure(child.pid) == Pressure(0, 0)
        groups.join(name, child.pid)
        assert child.stdin is not None
        child.stdin.write(b"go\n")
        child.stdin.close()
        limit = time.monotonic() + 20
        if "pids" in groups.controllers:
            while cgroups.pressure(child.pid).refused_forks == 0 and child.poll() is None and time.monotonic() < limit:
                time.sleep(0.05)
            members = (folders[-1] / "cgroup.procs").read_text().split()
            assert len(members) <= LIMITS.pids
    finally:
        removed = cgroups.remove(folders, 20.0)
    assert wait_for_end(child) != 0
    assert removed == (f"control group {name}",)
    assert cgroups.remove(folders, 1.0) == ()
    assert not cgroups.exists(folders)


def test_memory_is_held(groups: Groups, tmp_path: Path) -> None:
    """More than the limit: the kernel ends the process, and the count is there."""
    if "memory" not in groups.controllers:
        pytest.skip("no memory groups here")
    name = f"aienv-{secrets.token_hex(4)}-task"
    try:
        groups.make(name, LIMITS, tmp_path / "record")
        script = "read go; python3 -c 'x = bytearray(b\"x\") * (200 << 20)'; echo ended $?; sleep 60"
        child = subprocess.Popen(["/bin/sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        groups.join(name, child.pid)
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"go\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"ended 137\n"
        assert cgroups.pressure(child.pid).kills >= 1
    finally:
        cgroups.remove(groups.folders(name), 20.0)
    wait_for_end(child)


def test_a_group_that_cannot_be_made(tmp_path: Path) -> None:
    """An error of ours, with the record written before: whoever cleans up looks there and finds nothing."""
    groups = Groups((Home("pids", 1, tmp_path / "missing"),))
    with pytest.raises(EnvironmentFailed):
        groups.make("aienv-x-task", LIMITS, tmp_path / "record")
    assert cgroups.remove(recorded((tmp_path / "record").read_text(), "aienv-x-task"), 1.0) == ()
    with pytest.raises(EnvironmentFailed):
        groups.join("aienv-x-task", os.getpid())


def test_a_limit_that_cannot_be_set(tmp_path: Path) -> None:
    """A folder that takes no limit is no group."""
    (tmp_path / "aienv-x-task" / "pids.max").mkdir(parents=True)
    with pytest.raises(EnvironmentFailed):
        Groups((Home("pids", 1, tmp_path),)).make("aienv-x-task", LIMITS, tmp_path / "record")


def test_an_ordinary_folder_is_never_removed(tmp_path: Path) -> None:
    """Only what the kernel shows as a group."""
    (tmp_path / "aienv-x-task").mkdir()
    assert cgroups.remove([tmp_path / "aienv-x-task"], 1.0) == ()
    assert (tmp_path / "aienv-x-task").is_dir()


def test_a_process_that_is_gone() -> None:
    """Nothing is known about it."""
    child = subprocess.Popen(["true"])
    child.wait()
    assert cgroups.pressure(child.pid) == Pressure(0, 0)
