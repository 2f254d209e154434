"""kill -9 while the agent's own containers run, which the engine would start again for ever: nothing is left, no work is lost."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.model.paths import paths_from
from orchestrator.run import folder as folders
from tests.e2e.test_docker_guard import calls, create, left_in
from tests.engine import Engine, image
from tests.faults.place import aienv, git, start, use_cache
from tests.faults.test_matrix import everything, settle
from tests.faults.test_recovery import is_broker

pytestmark = pytest.mark.docker

CLIENT = Path(__file__).parent.parent / "e2e" / "dockerclient.py"
FOREVER: dict[str, object] = {"Binds": ["/workspaces/repo:/w"], "RestartPolicy": {"Name": "always"}}
MADE = (
    create("writer", "echo precious > /w/from-a-container; exec sleep 600", FOREVER),
    "POST /containers/writer/start",
    create("restless", "exit 1", {"RestartPolicy": {"Name": "always"}, "Mounts": [{"Type": "volume", "Source": "data", "Target": "/d"}]}),
    "POST /containers/restless/start",
    'POST /networks/create {"Name": "more"}',
)


@pytest.fixture
def home(tmp_path: Path, repository: Path, engine: Engine, toolbox_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """aienv's, with an agent's repository that wants Docker; nothing may be left in the engine afterwards."""
    use_cache(tmp_path, toolbox_cache)
    monkeypatch.setenv("DOCKER_HOST", engine.address)
    (repository / "compose.yaml").write_text(f"services: {{web: {{image: {image(engine, 'busybox')}}}}}\n")
    (repository / "client.py").write_bytes(CLIENT.read_bytes())
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "docker")
    yield tmp_path / "home"
    assert left_in(engine) == []


@pytest.mark.parametrize("victims", ["main", "broker", "both"])
def test_killed_with_containers(victims: str, home: Path, repository: Path, engine: Engine) -> None:
    """Whoever is killed: after the next command there is no container, network, volume or mount; what one wrote is in the result."""
    agent = calls(*MADE) + "; until [ -s from-a-container ]; do sleep 0.1; done; touch ready; sleep 120"
    process = start(home, repository, "run", "--backend", "docker", "--image", image(engine, "busybox"), "-q", "--", "sh", "-c", agent)
    end = time.monotonic() + 60
    while not list(home.glob("work/*/workspace/*/ready")):
        assert time.monotonic() < end, process.communicate(timeout=5) if process.poll() is not None else "not ready"
        time.sleep(0.05)
    (run_id,) = folders.active_ids(paths_from({"AIENV_HOME": str(home)}))
    if victims != "main":
        for pid in [pid for pid in os.listdir("/proc") if pid.isdigit() and is_broker(pid, run_id)]:
            os.kill(int(pid), signal.SIGKILL)
    if victims != "broker":
        process.kill()
    process.communicate(timeout=90)
    settle(home)
    done = aienv(home, repository, "gc", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    assert left_in(engine) == []
    assert list((home / "work").iterdir()) == []
    assert str(home) not in Path("/proc/mounts").read_text()
    report = json.loads((home / "runs" / run_id / "report.json").read_text())
    assert report["teardown"]["left"] == []
    assert "precious" in everything(repository)
    assert [request for request in report["docker"]["allowed"] if request["request"] == "POST /containers/create"]


def test_rm_force_removes_containers(home: Path, repository: Path, engine: Engine) -> None:
    """``aienv rm --force`` of a killed run."""
    agent = calls(*MADE[:2]) + "; touch ready; sleep 120"
    process = start(home, repository, "run", "--backend", "docker", "--image", image(engine, "busybox"), "-q", "--", "sh", "-c", agent)
    end = time.monotonic() + 60
    while not list(home.glob("work/*/workspace/*/ready")):
        assert time.monotonic() < end
        time.sleep(0.05)
    (run_id,) = folders.active_ids(paths_from({"AIENV_HOME": str(home)}))
    process.kill()
    process.communicate(timeout=90)
    done = aienv(home, repository, "rm", "--force", run_id)
    assert done.returncode == 0, done.stderr
    assert left_in(engine) == []
    assert not (home / "runs" / run_id).exists()
