"""The container's walls, read from inside, in real engines: what the launcher itself could do there, should it be taken over."""

from typing import Any

import pytest

from tests import engine as engines
from tests.engine import Engine
from tests.integration.docker.places import GID, LIMITS, UID, WORKSPACE, container_output, python_output

pytestmark = pytest.mark.docker

FACTS = """
import json, os, resource, socket
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
def attempt(action):
    try:
        action()
        return "done"
    except OSError as problem:
        return os.strerror(problem.errno)
def create(path):
    with open(path, "w") as file:
        file.write("x")
def first(*paths):
    for path in paths:
        if os.path.exists(path):
            return open(path).read().split()[0]
mounts = {}
for line in open("/proc/self/mountinfo").read().splitlines():
    words = line.split()
    mounts[words[4]] = words[5].split(",")[0]
print(json.dumps({
    "uids": os.getresuid(), "gids": os.getresgid(), "groups": os.getgroups(),
    "caps": [int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
    "no_new_privs": status["NoNewPrivs"], "seccomp": status["Seccomp"],
    "env": dict(os.environ), "hostname": socket.gethostname(), "cwd": os.getcwd(),
    "interfaces": [name for _, name in socket.if_nameindex()],
    "nofile": resource.getrlimit(resource.RLIMIT_NOFILE), "core": resource.getrlimit(resource.RLIMIT_CORE),
    "init": open("/proc/1/cmdline").read().split("\\0")[0], "pid": os.getpid(),
    "mounts": mounts,
    "writes": {path: attempt(lambda: create(path)) for path in (
        "/x", "/usr/x", "/etc/x", "/opt/aienv/x", "/opt/aienv/lib/aienv/launcher.py", "/run/aienv/objects/main/x", "/run/aienv/control/x",
        "/run/x", "/etc/ld.so.preload", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/kernel/x", "/dev/x",
        "/workspaces/app/x", "/run/aienv/outbox/x", "/tmp/x")},
    "reads": {path: attempt(lambda: open(path, "rb").read(1)) for path in ("/proc/kcore", "/proc/timer_list", "/dev/mem", "/dev/vda")},
    "firmware": os.listdir("/sys/firmware"),
    "memory": first("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"),
    "pids": first("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"),
}))
"""


@pytest.fixture(scope="module")
def seen() -> dict[str, dict[str, Any]]:
    """Per engine, filled by the first test that asks."""
    return {}


@pytest.fixture
def facts(any_engine: Engine, seen: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if any_engine.version not in seen:
        seen[any_engine.version] = python_output(any_engine, engines.image(any_engine, "debian"), FACTS)
    return seen[any_engine.version]


def test_walls(facts: dict[str, Any]) -> None:
    """Identity, capabilities, filter and limits are as they were asked for."""
    assert facts["uids"] == [UID] * 3
    assert facts["gids"] == [GID] * 3
    assert set(facts["groups"]) <= {GID}
    assert facts["caps"] == [0, 0, 0, 0, 0]
    assert (facts["no_new_privs"], facts["seccomp"]) == ("1", "2")
    assert facts["hostname"] == "aienv"
    assert facts["cwd"] == "/"
    assert "lo" in facts["interfaces"]
    assert facts["nofile"] == [LIMITS.open_files] * 2
    assert facts["core"] == [1, 1]
    assert facts["init"].endswith("docker-init")
    assert int(facts["memory"]) == LIMITS.memory_bytes
    assert int(facts["pids"]) == LIMITS.pids
    assert facts["firmware"] == []


def test_no_way_out_by_network(facts: dict[str, Any]) -> None:
    """Nothing but loopback and the kernel's own unconfigured tunnel devices."""
    assert [name for name in facts["interfaces"] if name.startswith(("eth", "en", "veth", "docker", "br"))] == []


def test_environment(facts: dict[str, Any]) -> None:
    """The launcher sees our variables and the engine's host name, nothing else."""
    assert set(facts["env"]) <= {"PATH", "LC_ALL", "HOME", "HOSTNAME"}
    assert facts["env"]["PATH"] == "/opt/aienv/bin"


def test_what_can_be_written(facts: dict[str, Any]) -> None:
    """The workspace, the outbox and /tmp; everything else is refused, the sysctls of the host above all."""
    writable = {path for path, answer in facts["writes"].items() if answer == "done"}
    assert writable == {f"{WORKSPACE}/x", "/run/aienv/outbox/x", "/tmp/x"}
    assert facts["writes"]["/opt/aienv/lib/aienv/launcher.py"] in ("Read-only file system", "Permission denied")


def test_what_cannot_be_read(facts: dict[str, Any]) -> None:
    """Without masks under /proc these files stay closed because we are not root and have no capability."""
    assert all(answer != "done" for answer in facts["reads"].values())


def test_mounts_are_read_only(facts: dict[str, Any]) -> None:
    """Read-only by mount, not by permission alone."""
    mounts = facts["mounts"]
    assert {path for path, mode in mounts.items() if mode == "rw" and path.startswith(("/opt", "/run/aienv", "/workspaces"))} == {
        WORKSPACE,
        "/run/aienv/outbox",
    }
    assert mounts["/"] == "ro"


@pytest.mark.parametrize("kind", ["busybox", "musl"])
def test_images_without_glibc(any_engine: Engine, kind: str) -> None:
    """The same program runs where there is no C library of ours, and nothing of the image is mapped into it."""
    name = engines.image(any_engine, kind)
    script = "import ctypes, json; print(json.dumps({'maps': sorted({l.split()[-1] for l in open('/proc/self/maps') if '/' in l})}))"
    maps = python_output(any_engine, name, script)["maps"]
    assert any(path.startswith("/opt/aienv/lib/libc.so") for path in maps)
    assert [path for path in maps if not path.startswith("/opt/aienv/")] == []


def test_musl_image_is_one(any_engine: Engine) -> None:
    """The musl image holds a program that needs musl's loader, and that runs: so the test above says something."""
    name = engines.image(any_engine, "musl")
    assert container_output(any_engine, name, ("/bin/hello",)) == "hello from musl\n"
