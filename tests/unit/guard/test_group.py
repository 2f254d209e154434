"""The control group of a session: what is written, where, and that nothing of it stays."""

import os
from pathlib import Path

import pytest

from orchestrator.guard.group import group_name, make, remove, settings
from orchestrator.model.guard import GuardLimits

LIMITS = GuardLimits(memory_bytes=3 << 30, pids=99, cpus=1.5)
CGROUPFS = {"CgroupDriver": "cgroupfs", "CgroupVersion": "1"}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As version 1 has it. Files of a group are there as soon as its folder is; here they are made beforehand."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for controller, files in settings(LIMITS, 1).items():
        folder = tmp_path / controller / group_name("x")
        folder.mkdir(parents=True)
        for name, _ in files:
            (folder / name).touch()
    (tmp_path / "devices").mkdir()
    return tmp_path


def test_limits_of_all_together(root: Path) -> None:
    assert make("x", LIMITS, CGROUPFS, root) == "/aienv-guard-x"
    assert (root / "memory/aienv-guard-x/memory.limit_in_bytes").read_text() == str(3 << 30)
    assert (root / "pids/aienv-guard-x/pids.max").read_text() == "99"
    assert (root / "cpu/aienv-guard-x/cpu.cfs_quota_us").read_text() == "150000"


@pytest.mark.parametrize("info", [{}, {"CgroupDriver": "systemd"}, {"CgroupDriver": "none"}], ids=["nothing", "systemd", "rootless"])
def test_not_with_other_drivers(root: Path, info: dict[str, object]) -> None:
    assert make("y", LIMITS, info, root) is None
    assert not (root / "memory/aienv-guard-y").exists()


def test_not_for_ordinary_users(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert make("y", LIMITS, CGROUPFS, root) is None


def test_version_2_has_one_folder() -> None:
    assert dict(settings(LIMITS, 2)[""]) == {
        "memory.max": str(3 << 30), "memory.swap.max": "0", "pids.max": "99", "cpu.max": "150000 100000",
    }  # fmt: skip


def test_all_of_it_goes(tmp_path: Path) -> None:
    """The engine makes groups below it, in every hierarchy; somebody else's stay."""
    for place in ("memory/aienv-guard-x/container", "devices/aienv-guard-x", "devices/aienv-guard-xy"):
        (tmp_path / place).mkdir(parents=True)
    assert remove("x", tmp_path) == ()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["devices", "devices/aienv-guard-xy", "memory"]
    assert remove("x", tmp_path) == ()
