"""What the next command does with a run whose processes were all killed: never less than the promises."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from orchestrator.model.paths import paths_from
from orchestrator.run import folder as folders
from tests.faults.place import aienv, git, start

pytestmark = pytest.mark.bwrap


def killed_run(home: Path, repository: Path, agent: str = "echo precious > work; touch ready; sleep 60") -> str:
    """A run whose main process and broker were killed while the agent worked; its id."""
    process = start(home, repository, "run", "--backend", "local", "-q", "--", "sh", "-c", agent)
    end = time.monotonic() + 60
    while not list(home.glob("work/*/workspace/*/ready")):
        assert time.monotonic() < end
        time.sleep(0.05)
    (run_id,) = folders.active_ids(paths_from({"AIENV_HOME": str(home)}))
    for pid in [pid for pid in os.listdir("/proc") if pid.isdigit() and is_broker(pid, run_id)]:
        os.kill(int(pid), signal.SIGKILL)
    process.kill()
    process.communicate(timeout=30)
    while subprocess.run(["pgrep", "-f", "sleep 60"], capture_output=True, check=False).stdout and time.monotonic() < end:
        time.sleep(0.05)
    return run_id


def is_broker(pid: str, run_id: str) -> bool:
    try:
        words = Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return run_id.encode() in words and any(b"broker.main" in word for word in words)


def test_rm_harvests_first(tmp_path: Path, repository: Path) -> None:
    """Removing an interrupted run brings its work out before."""
    home = tmp_path / "home"
    run_id = killed_run(home, repository)
    done = aienv(home, repository, "rm", run_id)
    assert done.returncode == 0, done.stderr
    assert "precious" in git(repository, "log", "--all", "-p")
    assert not list((home / "runs").iterdir())


def test_a_plan_of_another_version_is_left_alone(tmp_path: Path, repository: Path) -> None:
    """What cannot be read is not removed: not by ps, not by gc, not by rm; with the right plan again the work comes out."""
    home = tmp_path / "home"
    run_id = killed_run(home, repository)
    plan = home / "runs" / run_id / "plan.json"
    original = plan.read_text()
    plan.write_text(original.replace("{", '{"a_later_member": 1, ', 1))
    listed = json.loads(aienv(home, repository, "ps", "--json").stdout)
    assert [(row["id"], row["state"]) for row in listed] == [(run_id, "interrupted")]
    assert aienv(home, repository, "gc").returncode == 3
    assert aienv(home, repository, "rm", run_id).returncode == 7
    assert [file.read_text() for file in home.glob("work/*/workspace/*/work")] == ["precious\n"]
    plan.write_text(original)
    assert aienv(home, repository, "gc").returncode == 0
    assert "precious" in git(repository, "log", "--all", "-p")


def test_a_lost_plan_keeps_the_work(tmp_path: Path, repository: Path) -> None:
    """Without its plan a run cannot be finished, and is not removed either, until its user says so: then nothing of it is left."""
    home = tmp_path / "home"
    run_id = killed_run(home, repository)
    (home / "runs" / run_id / "plan.json").unlink()
    aienv(home, repository, "ps")
    assert [file.read_text() for file in home.glob("work/*/workspace/*/work")] == ["precious\n"]
    groups = [Path(line) for file in home.glob("work/*/control/task-control-groups") for line in file.read_text().splitlines()]
    aienv(home, repository, "rm", "--force", run_id)
    assert [group for group in groups if group.exists()] == []
    assert list(home.glob("work/*")) == list(home.glob("active/*")) == []


def test_new_files_at_a_masked_place_are_the_agents(tmp_path: Path, repository: Path) -> None:
    """The masked file's folder is moved away; what the agent writes at its old place comes out, the masked file does not change."""
    (repository / "config").mkdir()
    (repository / "config" / ".env").write_text("SECRET=1\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "secret")
    agent = "mv config old && mkdir config && echo mine > config/.env && mkdir .env && echo deep > .env/file"
    done = aienv(tmp_path / "home", repository, "run", "--backend", "local", "--json", "--", "sh", "-c", agent)
    report = json.loads(done.stdout)
    assert sorted((file["status"], file["path"]) for file in report["result"]["changed_files"]) == [
        ("A", ".env/file"),
        ("M", "config/.env"),
    ]
    assert git(repository, "show", f"{report['result']['branch']}:config/.env") == "mine\n"


def test_a_link_where_a_masked_folder_was(tmp_path: Path, repository: Path) -> None:
    """Folder moved away, a link in its place: the rest of the work comes out as always."""
    (repository / "conf").mkdir()
    (repository / "conf" / ".env").write_text("SECRET=1\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "secret")
    agent = "mv conf conf2 && ln -s /x conf && echo more > more"
    report = json.loads(aienv(tmp_path / "home", repository, "run", "--backend", "local", "--json", "--", "sh", "-c", agent).stdout)
    changed = sorted((file["status"], file["path"]) for file in report["result"]["changed_files"])
    assert changed == [("A", "conf"), ("A", "more"), ("D", "conf/.env")], report["notes"]


def test_what_was_not_brought_out_stays(tmp_path: Path, repository: Path) -> None:
    """A file beyond the limits keeps the workspace, also when aienv is killed after the delivery; rm asks before it goes."""
    home = tmp_path / "home"
    fault = {"AIENV_FAULT": "deliver:end", "AIENV_FAULT_COMMAND": 'kill -9 "$AIENV_PID_MAIN"'}
    agent = "truncate -s 9G big; echo small > small"
    assert aienv(home, repository, "run", "--backend", "local", "--", "sh", "-c", agent, **fault).returncode == -9
    end = time.monotonic() + 60
    while not list(home.glob("runs/*/report.json")) and time.monotonic() < end:
        time.sleep(0.1)
    (row,) = json.loads(aienv(home, repository, "ps", "--json").stdout)
    assert row["state"] == "kept"
    assert aienv(home, repository, "rm", row["id"]).returncode == 7
    assert Path(row["workspace"], "big").stat().st_size == 9 << 30
    assert aienv(home, repository, "rm", "--force", row["id"]).returncode == 0
    assert not list((home / "work").iterdir())


def test_closed_files_come_out_of_a_killed_run(tmp_path: Path, repository: Path) -> None:
    """The agent closed its workspace and was killed with everything: the recovery opens it and brings all out."""
    home = tmp_path / "home"
    killed_run(home, repository, "echo precious > work; touch ready; chmod 000 work .; sleep 60")
    assert aienv(home, repository, "gc").returncode == 0
    assert "precious" in git(repository, "log", "--all", "-p")
    assert not list((home / "work").iterdir())
