"""The engines of the tests themselves: apart from each other, and gone without a trace."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engine as engines
from tests.engine import Engine

pytestmark = pytest.mark.docker

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def root() -> Iterator[Path]:
    """A short path: sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="aienv-fixture-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "e"


def command(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(REPOSITORY / "tests/engine.py"), *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=240, check=False)


def traces(engine: Engine) -> list[str]:
    """What is left of an engine: processes, mounts, control groups, its folder."""
    parent = engine.cgroup_parent.lstrip("/")
    return [
        *map(str, engine.processes()),
        *engines.mounts_below(engine.root),
        *map(str, Path("/sys/fs/cgroup").glob(f"*/{parent}")),
        *([str(engine.root)] if engine.root.exists() else []),
    ]


@pytest.mark.parametrize("version", ["20.10", "26.1"])
def test_start_and_stop(root: Path, version: str) -> None:
    """By command: the address is printed, and after the stop nothing is left, though a container was running."""
    started = command("start", "--root", str(root), "--version", version)
    if started.returncode != 0:
        pytest.skip(started.stderr)
    engine = Engine.found(root)
    try:
        assert started.stdout.strip() == engine.address
        image = command("load", "--root", str(root), "--image", "busybox").stdout.strip()
        argv = ("docker", "run", "--detach", "--network", "none", "--memory", "64m", image, "/bin/sleep", "600")
        subprocess.run(argv, env=engine.environ(), capture_output=True, check=True)
        assert len(engine.processes()) >= 4  # dockerd, containerd, a shim, the container
    finally:
        stopped = command("stop", "--root", str(root))
    assert (stopped.returncode, stopped.stderr) == (0, "")
    assert traces(engine) == []
    assert command("stop", "--root", str(root)).returncode == 0


def test_own_network(engine: Engine) -> None:
    """The engine's bridge is not the machine's."""
    inside = subprocess.run([*engine._enter(), "ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    assert "docker0" in inside
    assert os.readlink(f"/proc/{engine.state.daemon}/ns/net") != os.readlink("/proc/self/ns/net")


def test_owner_is_killed() -> None:
    """A test run that is killed takes its engine along, and the next one sweeps the folder away."""
    script = "from tests.engine import running\nimport time\nwith running() as engine: print(engine.root, flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        engine = Engine.found(Path(owner.stdout.readline().strip()))
        assert engines.alive(engine.state.daemon, engine.state.daemon_start)
        owner.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while engines.alive(engine.state.daemon, engine.state.daemon_start) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not engines.alive(engine.state.daemon, engine.state.daemon_start)
    engines.sweep()
    assert traces(engine) == []
