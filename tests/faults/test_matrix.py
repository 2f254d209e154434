"""The fault matrix: kill -9 of each process of a run, before and after each step of the journal, on both backends.

The cells are made from ``Step``: a new step is tested from its first day. In every cell two promises must hold: no byte that
the agent wrote is lost, and after ``aienv gc`` nothing of the run is left but its folder.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.audit.record import Head, verify
from orchestrator.model.paths import paths_from
from orchestrator.run import folder as folders
from orchestrator.run.steps import Step
from tests.engine import Engine, image
from tests.faults.place import aienv, git, use_cache

STEPS = list(Step)
WRITES = "printf committed > one && git add one && git commit -qm work && printf staged > two && git add two && printf loose > three"
# Any image will do: the toolbox brings git along.
IN_ANY_IMAGE = "export PATH=/opt/aienv/bin:$PATH; " + WRITES
VICTIMS = {
    "main": 'kill -9 "$AIENV_PID_MAIN"',
    "broker": 'kill -9 "$AIENV_PID_BROKER"',
    "both": 'kill -9 "$AIENV_PID_BROKER" "$AIENV_PID_MAIN"',
    "launcher": 'kill -9 "$AIENV_PID_LAUNCHER"',
    "agent": 'kill -9 "$AIENV_PID_AGENT"',
    "container": 'docker kill "$AIENV_CONTAINER"',
    "engine": 'kill -9 "$ENGINE_PID"',
}
# The launcher's pid in a container is one of the container's own numbering; its host pid is the container's main child.
IN_CONTAINER = {
    "launcher": 'kill -9 $(docker top "$AIENV_CONTAINER" -o pid,args | awk "/launcher.py/ {print \\$1}")',
    "agent": 'kill -9 $(docker top "$AIENV_CONTAINER" -o pid,args | awk "/sleep 30/ {print \\$1}" | tail -n 1)',
}
BORN = {
    "broker": (Step.BROKER, "end"),
    "both": (Step.BROKER, "end"),
    "launcher": (Step.ENVIRONMENT, "end"),
    "container": (Step.ENVIRONMENT, "end"),
}
GONE = {"launcher": Step.TEARDOWN, "container": Step.TEARDOWN}


@dataclass(frozen=True)
class Cell:
    """One place to kill at, and whom."""

    step: Step
    when: str
    victim: str

    @property
    def point(self) -> str:
        return f"{self.step.value}:{self.when}"

    @property
    def agent_wrote(self) -> bool:
        return STEPS.index(self.step) > STEPS.index(Step.AGENT) or (self.step is Step.AGENT and self.when != "begin")


def points() -> Iterator[tuple[Step, str]]:
    for step in Step:
        yield step, "begin"
        if step is Step.AGENT:
            yield step, "running"
        yield step, "end"


def cells(victims: tuple[str, ...]) -> list[Cell]:
    """Every point at which the victim exists."""
    order = list(points())
    found = []
    for victim in victims:
        if victim == "agent":
            found.append(Cell(Step.AGENT, "running", victim))
            continue
        first = order.index(BORN[victim]) if victim in BORN else 0
        last = order.index((GONE[victim], "begin")) if victim in GONE else len(order) - 1
        found += [Cell(step, when, victim) for step, when in order[first : last + 1]]
    return found


LOCAL = cells(("main", "broker", "both", "launcher", "agent"))
DOCKER = cells(("main", "broker", "both", "launcher", "agent", "container"))
ENGINE = cells(("engine",))


def test_every_step_is_in_the_matrix() -> None:
    """Both sides of each step, for the main process on each backend and for the engine."""
    for matrix, victim in ((LOCAL, "main"), (DOCKER, "main"), (ENGINE, "engine")):
        assert {(cell.step, cell.when) for cell in matrix if cell.victim == victim} == set(points())


def run_cell(
    cell: Cell,
    tmp_path: Path,
    repository: Path,
    options: tuple[str, ...],
    commands: dict[str, str],
    meanwhile: Callable[[], None] = lambda: None,
    **environ: str,
) -> Path:
    """Run a task and kill at the cell's point; returns aienv's home."""
    home = tmp_path / "home"
    kill, writes = commands[cell.victim], WRITES if "local" in options else IN_ANY_IMAGE
    if cell.when == "running":
        agent, kill = (
            f"{writes}; touch ready; sleep {3 if cell.victim == 'engine' else 30}",
            f"until [ -e $AIENV_WORKSPACE/ready ]; do sleep 0.05; done; {kill}",
        )
    else:
        agent = writes
    fault = {"AIENV_FAULT": cell.point, "AIENV_FAULT_COMMAND": kill}
    verify = ("--verify", "true") if cell.step is Step.VERIFY else ()  # with it a run has two of most steps
    words = ("run", *options, "--setup", "true", "--check", "true", *verify, "--", "sh", "-c", agent)
    done = aienv(home, repository, *words, meanwhile=meanwhile, **fault, **environ)
    if cell.victim in ("main", "both"):
        assert done.returncode == -9, (done.returncode, done.stderr)
    return home


def settle(home: Path, seconds: float = 60.0) -> None:
    """Let a broker finish what its main process left; what has no owner is for the next command."""
    paths = paths_from({"AIENV_HOME": str(home)})
    end = time.monotonic() + seconds
    while any(folders.is_owned(folders.run_folder(paths, run_id)) for run_id in folders.active_ids(paths)):
        assert time.monotonic() < end, "a run does not end"
        time.sleep(0.05)


def command(pid: str) -> str:
    try:
        return Path("/proc", pid, "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def assert_promises(cell: Cell, home: Path, repository: Path) -> None:
    """Nothing lost, nothing left, everything told."""
    listed = aienv(home, repository, "gc", "--json")
    assert listed.returncode == 0, listed.stderr + listed.stdout
    assert list((home / "active").iterdir()) == []
    assert list((home / "work").iterdir()) == []
    ours = [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) != os.getpid() and str(home) in command(pid)]
    assert ours == [], [command(pid) for pid in ours]
    assert str(home) not in Path("/proc/mounts").read_text()
    assert git(repository, "status", "--porcelain") == ""
    assert git(repository, "config", "--local", "--list", "--name-only").count("remote") == 0
    runs = list((home / "runs").iterdir())
    if cell.agent_wrote:
        runs = [run for run in runs if json.loads((run / "plan.json").read_text())["verifies"] is None]
        assert len(runs) == 1
        for name, content in (("one", "committed"), ("two", "staged"), ("three", "loose")):
            assert content in everything(repository), f"{name} is lost"
        report = json.loads((runs[0] / "report.json").read_text())
        assert report["result"]["branch"], report
        assert git(repository, "show", f"{report['result']['branch']}:three") == "loose"
    for run in runs:
        head = verify((run / "audit.jsonl").read_bytes().splitlines()) if (run / "audit.jsonl").exists() else None
        assert head is None or isinstance(head, Head), head


def everything(repository: Path) -> str:
    """All contents of all objects that refs reach."""
    names = git(repository, "rev-list", "--all", "--objects").split()
    return "\n".join(git(repository, "cat-file", "-p", name) for name in dict.fromkeys(names) if len(name) == 40)


def ids(cell: Cell) -> str:
    return f"{cell.victim}-{cell.step.value}-{cell.when}"


@pytest.mark.bwrap
@pytest.mark.parametrize("cell", LOCAL, ids=ids)
def test_local(cell: Cell, tmp_path: Path, repository: Path) -> None:
    """On the local backend no byte is lost and nothing is left, whoever dies whenever."""
    home = run_cell(cell, tmp_path, repository, ("--backend", "local"), VICTIMS)
    settle(home)
    assert_promises(cell, home, repository)


def in_docker(cell: Cell, tmp_path: Path, repository: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch, back: str = "") -> None:
    """One cell in a container. ``back``: an engine that is killed comes back ``at once``, or only ``late``, after aienv has ended."""
    for variable, value in engine.environ().items():
        monkeypatch.setenv(variable, value)
    name = image(engine, "busybox")
    options = ("--backend", "docker", "--image", name)
    # As an init system would: an engine that has died is started again.
    revive = engine.revive if back == "at once" else lambda: None
    home = run_cell(cell, tmp_path, repository, options, VICTIMS | IN_CONTAINER, revive, ENGINE_PID=str(engine.state.daemon))
    if back:
        engine.revive()
    settle(home)
    assert_promises(cell, home, repository)
    with contextlib.closing(engine.client()) as client:
        assert client.containers(all=True, filters={"label": "dev.aienv.run"}) == []


@pytest.mark.docker
@pytest.mark.parametrize("cell", DOCKER, ids=ids)
def test_docker(cell: Cell, tmp_path: Path, repository: Path, engine: Engine, toolbox_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container no byte is lost and nothing is left, whoever dies whenever."""
    use_cache(tmp_path, toolbox_cache)
    in_docker(cell, tmp_path, repository, engine, monkeypatch)


@pytest.mark.docker
@pytest.mark.parametrize("cell", ENGINE, ids=ids)
def test_engine(
    cell: Cell, tmp_path: Path, repository: Path, fault_engine: Engine, toolbox_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that is killed and comes back changes neither promise."""
    use_cache(tmp_path, toolbox_cache)
    in_docker(cell, tmp_path, repository, fault_engine, monkeypatch, "at once")


@pytest.mark.docker
@pytest.mark.parametrize("point", [(Step.ENVIRONMENT, "begin"), (Step.AGENT, "running"), (Step.TEARDOWN, "begin")], ids=str)
def test_engine_comes_back_late(
    point: tuple[Step, str], tmp_path: Path, repository: Path, fault_engine: Engine, toolbox_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends without the engine; what was left is removed by the next command after it is back."""
    use_cache(tmp_path, toolbox_cache)
    in_docker(Cell(*point, "engine"), tmp_path, repository, fault_engine, monkeypatch, "late")
