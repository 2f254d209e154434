"""What a session may have at once."""

import pytest

from orchestrator.guard.calls import Denied, Usage
from orchestrator.guard.quota import admit, memory_text
from orchestrator.model.guard import GuardLimits

LIMITS = GuardLimits()


@pytest.mark.parametrize(("usage", "add", "rule", "remedy"), [
    pytest.param(Usage(32), Usage(1), "quota.containers", "guard.containers: 33", id="containers"),
    pytest.param(Usage(memory_bytes=15 << 29), Usage(memory_bytes=1 << 30), "quota.memory", "guard.memory: 8704m", id="memory"),
    pytest.param(Usage(memory_bytes=8 << 30), Usage(memory_bytes=8 << 30), "quota.memory", "guard.memory: 16g", id="memory-whole"),
    pytest.param(Usage(memory_bytes=8 << 30), Usage(memory_bytes=1), "quota.memory", "guard.memory: 8193m", id="memory-rounded-up"),
    pytest.param(Usage(cpus=3.75), Usage(cpus=0.5), "quota.cpus", "guard.cpus: 4.25", id="cpus"),
    pytest.param(Usage(pids=4096), Usage(pids=1), "quota.pids", "guard.pids: 4097", id="pids"),
    pytest.param(Usage(volumes=32), Usage(volumes=1), "quota.volumes", "guard.volumes: 33", id="volumes"),
    pytest.param(Usage(networks=12), Usage(networks=1), "quota.networks", "guard.networks: 13", id="networks"),
    pytest.param(Usage(execs=64), Usage(execs=1), "quota.execs", "guard.execs: 65", id="execs"),
    pytest.param(Usage(ports=128), Usage(ports=2), "quota.ports", "guard.ports: 130", id="ports"),
    pytest.param(Usage(images=64), Usage(images=1), "quota.images", "guard.images: 65", id="images"),
])  # fmt: skip
def test_too_much(usage: Usage, add: Usage, rule: str, remedy: str) -> None:
    """The remedy is a line that would be enough."""
    with pytest.raises(Denied) as caught:
        admit(usage, add, LIMITS)
    assert (caught.value.denial.rule, caught.value.denial.remedy) == (rule, remedy)


def test_the_last_one() -> None:
    """Exactly as much as may be."""
    admit(Usage(31, 7 << 30, 3.5, 4000, 31, 11, 63, 127, 63), Usage(1, 1 << 30, 0.5, 96, 1, 1, 1, 1, 1), LIMITS)


def test_tenths_of_processors_add_up() -> None:
    admit(Usage(cpus=sum([0.1] * 39)), Usage(cpus=0.1), LIMITS)


def test_what_is_not_asked_for_is_not_looked_at() -> None:
    """A session over one limit can still do what another one bounds."""
    admit(Usage(containers=99), Usage(networks=1), LIMITS)


@pytest.mark.parametrize(("amount", "text"), [(0, "0g"), (1, "1m"), (1 << 30, "1g"), (3 << 29, "1536m")])
def test_memory_text(amount: int, text: str) -> None:
    assert memory_text(amount) == text
