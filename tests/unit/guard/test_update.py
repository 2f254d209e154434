"""Other limits for a container that is there."""

import pytest

from orchestrator.guard.calls import Denied, Object, Usage
from orchestrator.guard.update import judge_update
from tests.unit.guard.bodies import LIMITS, SESSION, limited, pinned_by, sent

NOW = Usage(1, 1 << 30, 1.0, 100, ports=2)


@pytest.mark.parametrize(("body", "because"), [
    pytest.param({"Devices": [{"PathOnHost": "/dev/vda"}]}, "create.device", id="devices"),
    pytest.param({"DeviceCgroupRules": ["b *:* rwm"]}, "create.device", id="rules"),
    pytest.param({"CgroupParent": "/"}, "create.cgroup", id="cgroup"),
    pytest.param({"Memory": -1}, "body.range", id="unlimited-memory"),
    pytest.param({"MemorySwap": -1}, "body.range", id="unlimited-swap"),
    pytest.param({"PidsLimit": -1}, "body.range", id="unlimited-pids"),
    pytest.param({"CpuQuota": -1}, "body.range", id="unlimited-cpu"),
    pytest.param({"MemorySwap": 1 << 30}, "update.memory", id="swap-alone"),
    pytest.param({"Memory": 2 << 30, "MemorySwap": 1 << 30}, "update.memory", id="less-swap"),
    pytest.param({"Memory": 9 << 30}, "quota.memory", id="memory"),
    pytest.param({"PidsLimit": 5000}, "quota.pids", id="pids"),
    pytest.param({"NanoCpus": 5 * 10**9}, "quota.cpus", id="cpus"),
    pytest.param({"memory": 1}, "body.case", id="case"),
    pytest.param({"OomKillDisable": True}, "create.limits", id="oom"),
    pytest.param({"RestartPolicy": {"Name": "x"}}, "body.value", id="restart"),
    pytest.param({"Privileged": True}, "body.unknown", id="unknown"),
])  # fmt: skip
def test_refused(body: Object, because: str) -> None:
    with pytest.raises(Denied) as caught:
        judge_update(sent(body), SESSION, Usage(), NOW)
    assert caught.value.denial.rule == because


@pytest.mark.parametrize(("body", "expected", "share"), [
    pytest.param({}, {}, NOW, id="nothing"),
    pytest.param({"Memory": 0, "PidsLimit": 0, "CpuShares": 0, "Devices": None, "MemorySwappiness": -1}, {}, NOW, id="zeros"),
    pytest.param({"Memory": 2 << 30}, {"Memory": 2 << 30, "MemorySwap": 2 << 30}, Usage(1, 2 << 30, 1.0, 100, ports=2), id="memory"),
    pytest.param(
        {"Memory": 1 << 20, "MemorySwap": 2 << 20}, {"Memory": 1 << 20, "MemorySwap": 2 << 20}, Usage(1, 2 << 20, 1.0, 100, ports=2),
        id="less",
    ),
    pytest.param({"NanoCpus": 2 * 10**9}, {"CpuPeriod": 100_000, "CpuQuota": 200_000}, Usage(1, 1 << 30, 2.0, 100, ports=2), id="cpus"),
    pytest.param({"PidsLimit": 5}, {"PidsLimit": 5}, Usage(1, 1 << 30, 1.0, 5, ports=2), id="pids"),
    pytest.param({"RestartPolicy": {"Name": "always"}}, {"RestartPolicy": {"Name": "always"}}, NOW, id="restart"),
])  # fmt: skip
def test_passes(body: Object, expected: Object, share: Usage) -> None:
    assert judge_update(sent(body), SESSION, Usage(), NOW) == (expected, share)


def test_restarts_where_binds_are_held_by_freezing() -> None:
    with pytest.raises(Denied, match="not restarted by itself"):
        judge_update({"RestartPolicy": {"Name": "always"}}, pinned_by("freeze"), Usage(), NOW)
    judge_update({"RestartPolicy": {"Name": "no"}}, pinned_by("freeze"), Usage(), NOW)


def test_the_share_of_one_that_asked_for_nothing() -> None:
    assert judge_update({}, SESSION, Usage())[1] == Usage(1, LIMITS.container_memory_bytes, 0.0, LIMITS.container_pids)


def test_taking_less_is_always_allowed() -> None:
    """Also where the session has more than it may by now."""
    assert judge_update({"Memory": 1 << 29}, limited(memory_bytes=1), Usage(5, 1 << 40), NOW)[1].memory_bytes == 1 << 29
