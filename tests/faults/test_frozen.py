"""A place that is frozen, not dead: the run ends all the same, and nobody writes beside its harvest."""

import json
import time
from pathlib import Path

import pytest

from tests.engine import Engine, image
from tests.faults.place import aienv, git, use_cache


@pytest.mark.docker
def test_a_paused_container_does_not_hold_the_run(
    tmp_path: Path, repository: Path, engine: Engine, toolbox_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``docker pause`` while the agent works: after timeout and grace the place is removed and its workspace harvested."""
    use_cache(tmp_path, toolbox_cache)
    for variable, value in engine.environ().items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("AIENV_LIMITS_GRACE", "1s")
    home = tmp_path / "home"
    fault = {"AIENV_FAULT": "agent:running", "AIENV_FAULT_COMMAND": "sleep 1; docker pause $AIENV_CONTAINER"}
    options = ("--backend", "docker", "--image", image(engine, "busybox"), "--timeout", "3s", "--json")
    begin = time.monotonic()
    done = aienv(home, repository, "run", *options, "--", "sh", "-c", "echo before > before; sleep 30; echo after > after", **fault)
    assert time.monotonic() - begin < 100
    assert done.returncode == 124, done.stderr
    report = json.loads(done.stdout)
    assert report["status"] == "timeout"
    assert report["kept"] is None
    assert [file["path"] for file in report["result"]["changed_files"]] == ["before"]
    assert git(repository, "show", f"{report['result']['branch']}:before") == "before\n"
    assert list((home / "work").iterdir()) == []
