"""Runs side by side do not disturb each other, and a full disk loses nothing."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.engine import Engine, image
from tests.faults.place import aienv, git, start, use_cache

TEN = range(10)


def ten_runs(home: Path, repository: Path, *options: str) -> list[dict[str, object]]:
    processes = [start(home, repository, "run", *options, "--json", "-q", "--", "sh", "-c", f"sleep 0.3; echo {n} > n{n}") for n in TEN]
    reports = []
    for process in processes:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        reports.append(json.loads(out))
    return reports


def assert_ten(reports: list[dict[str, object]], home: Path, repository: Path) -> None:
    for number, report in zip(TEN, reports, strict=True):
        result = report["result"]
        assert isinstance(result, dict)
        assert [file["path"] for file in result["changed_files"]] == [f"n{number}"]
        assert git(repository, "show", f"{result['branch']}:n{number}") == f"{number}\n"
    assert list((home / "active").iterdir()) == []
    assert list((home / "work").iterdir()) == []


@pytest.mark.bwrap
def test_ten_local_runs_at_once(tmp_path: Path, repository: Path) -> None:
    """All ten end well, each with its own result, from one mirror."""
    home = tmp_path / "home"
    assert_ten(ten_runs(home, repository, "--backend", "local"), home, repository)


@pytest.mark.docker
def test_ten_containers_at_once(
    tmp_path: Path, repository: Path, engine: Engine, toolbox_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with containers."""
    use_cache(tmp_path, toolbox_cache)
    for variable, value in engine.environ().items():
        monkeypatch.setenv(variable, value)
    home = tmp_path / "home"
    assert_ten(ten_runs(home, repository, "--backend", "docker", "--image", image(engine, "busybox")), home, repository)


@pytest.mark.bwrap
@pytest.mark.parametrize(
    "writes", ["head -c 40000000 /dev/urandom > big; echo small > kept", "echo small > kept; head -c 16000000 /dev/urandom > big"]
)
def test_a_full_disk_loses_nothing(writes: str, small_disk: Path, repository: Path) -> None:
    """The agent fills the disk: what it could write is in the user's repository, or its workspace is kept and shown."""
    done = aienv(small_disk, repository, "run", "--backend", "local", "--json", "--", "sh", "-c", f"{writes}; sync; exit 0")
    assert done.returncode == 7, done.stderr
    report = json.loads(done.stdout)
    assert report["error"]["code"] == "harvest"
    listed = json.loads(aienv(small_disk, repository, "ps", "--json").stdout)
    assert [row["state"] for row in listed] == ["kept"]
    assert (Path(report["kept"]) / "big").exists()
    # With space again, the next collection brings it out.
    subprocess.run(["mount", "-o", "remount,size=512m", str(small_disk.parent)], check=True)
    collected = aienv(small_disk, repository, "gc")
    assert collected.returncode == 0, collected.stderr
    assert "big" in git(repository, "log", "--all", "--name-only", "--format=")
    assert list((small_disk / "work").iterdir()) == []
