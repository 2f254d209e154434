"""Ends that are not the agent's choice: time, ^C, stop; and what the other commands show meanwhile."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.product import DEADLINE_S, Aienv, branches, end, git, processes_with, read_until

READY = b"ready"
# Each agent says that it is ready and then does not end by itself.
TRAPS = "trap 'echo flushed > flushed; exit 0' TERM INT; echo ready; while :; do sleep 0.05; done"
IGNORES = "trap '' TERM INT HUP; echo work > work; (trap '' TERM; sleep 600) & echo ready; while :; do sleep 0.05; done"
PLAIN = "echo work > work; echo ready; sleep 600"


def result_of(aienv: Aienv) -> dict[str, object]:
    folder = Path(aienv.runs()[-1]["folder"])
    report: dict[str, object] = json.loads((folder / "report.json").read_text())
    return report


def nothing_is_left(aienv: Aienv, run: str) -> None:
    """No process, no work folder, no mark."""
    assert list((aienv.home / "work").iterdir()) == []
    assert list((aienv.home / "active").iterdir()) == []
    assert processes_with(run) == []


@pytest.mark.parametrize(("script", "file"), [(TRAPS, "flushed"), (IGNORES, "work")], ids=["traps-term", "ignores-term"])
def test_timeout_asks_then_kills_then_harvests(product: Aienv, repo: Path, script: str, file: str) -> None:
    """At the deadline the agent gets TERM and its grace; then the whole tree is gone; its work is on the branch."""
    (product.home / "config.yaml").write_text("limits: {grace: 1s}\n")
    done = product.run("--json", "--timeout", "2s", "--", "sh", "-c", script)
    assert (done.code, done.document["status"]) == (124, "timeout"), done.errors
    assert git("ls-tree", "--name-only", branches(repo)[0], cwd=repo).split().count(file) == 1
    nothing_is_left(product, done.document["id"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_one_signal_stops_the_agent_and_harvests(local: Aienv, repo: Path, number: signal.Signals) -> None:
    """^C, TERM and a closed terminal: the agent may flush, its work is harvested, the code is 130."""
    process = local.start("--", "sh", "-c", TRAPS)
    read_until(process, READY)
    process.send_signal(number)
    done = end(process)
    assert done.code == 130, done.errors
    assert git("show", f"{branches(repo)[0]}:flushed", cwd=repo) == "flushed\n"
    report = result_of(local)
    assert report["status"] == "interrupted"
    nothing_is_left(local, str(report["id"]))


def test_interrupted_in_a_container(product: Aienv, repo: Path) -> None:
    """^C once, on both backends, with --json: one document with the status."""
    process = product.start("--json", "--", "sh", "-c", f"exec >&2; {TRAPS}", stderr=subprocess.STDOUT)
    read_until(process, READY)
    process.send_signal(signal.SIGINT)
    done = end(process)
    assert done.code == 130
    document = json.loads(done.stdout[done.stdout.index(b"\n{") :].rpartition(b"}")[0] + b"}")
    assert document["status"] == "interrupted"
    assert git("show", f"{branches(repo)[0]}:flushed", cwd=repo) == "flushed\n"
    nothing_is_left(product, document["id"])


def test_a_second_signal_does_not_wait_for_the_grace(local: Aienv, repo: Path) -> None:
    """^C twice: an agent that ignores TERM, with a grace of ten minutes, is killed at once; its work is harvested all the same."""
    (local.home / "config.yaml").write_text("limits: {grace: 10m}\n")
    process = local.start("--", "sh", "-c", IGNORES)
    read_until(process, READY)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    for line in iter(process.stderr.readline, b""):
        if b"stopping the agent" in line:
            break
    process.send_signal(signal.SIGINT)
    done = end(process)
    assert done.code == 130, done.errors
    assert git("show", f"{branches(repo)[0]}:work", cwd=repo) == "work\n"
    nothing_is_left(local, str(result_of(local)["id"]))


def test_many_signals_lose_nothing(local: Aienv, repo: Path) -> None:
    """Whoever leans on ^C still gets the work, and nothing is left."""
    process = local.start("--", "sh", "-c", PLAIN)
    read_until(process, READY)
    for _ in range(20):
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    done = end(process)
    assert done.code == 130, done.errors
    assert "Traceback" not in done.errors
    assert git("show", f"{branches(repo)[0]}:work", cwd=repo) == "work\n"
    nothing_is_left(local, str(result_of(local)["id"]))


def test_interrupted_before_the_agent_starts(local: Aienv, repo: Path) -> None:
    """A signal while the clone is made: 130, no branch, nothing left."""
    process = local.start("--", "true", env={"AIENV_FAULT": "workspace:begin", "AIENV_FAULT_COMMAND": 'kill -INT "$AIENV_PID_MAIN"'})
    done = end(process)
    assert done.code == 130, done.errors
    assert branches(repo) == []
    assert result_of(local)["status"] == "interrupted"
    nothing_is_left(local, str(result_of(local)["id"]))


def test_interrupted_while_a_check_runs(local: Aienv, repo: Path) -> None:
    """The agent's work is already on the branch; the check ends; the run counts as interrupted."""
    process = local.start("--check", "echo ready > /dev/null; sleep 600", "--", "sh", "-c", PLAIN.replace("sleep 600", "true"))
    assert process.stderr is not None
    for line in iter(process.stderr.readline, b""):
        if b"checking:" in line:
            break
    process.send_signal(signal.SIGINT)
    done = end(process)
    assert done.code == 130, done.errors
    assert len(branches(repo)) == 1
    nothing_is_left(local, str(result_of(local)["id"]))


def test_a_check_that_hangs_ends_at_the_deadline(local: Aienv) -> None:
    """A check has the agent's time limit."""
    report = local.report("--timeout", "1s", "--check", "trap '' TERM; sleep 600", "--", "true")
    assert (report["status"], report["checks"][0]["exit_code"]) == ("failed", 124)


def test_what_the_agent_leaves_running_ends_with_it(product: Aienv) -> None:
    """Daemons, new sessions, double forks: all gone when the agent's command ends, and the run does not wait for them."""
    report = product.report("--", "sh", "-c", "setsid sleep 987654 & (setsid sh -c 'sleep 987655' >/dev/null 2>&1 &) ; echo started")
    assert (report["status"], report["exit_code"]) == ("succeeded", 0)
    assert processes_with("98765") == []


def test_stop_ps_show_logs_while_it_runs(local: Aienv, repo: Path) -> None:
    """A second terminal sees the run, follows its output, may not remove it, and stops it with its work."""
    process = local.start("--", "sh", "-c", TRAPS)
    read_until(process, READY)
    row = local("ps", "--json").document[0]
    assert (row["state"], row["backend"], row["task"]) == ("running", "local", "sh")
    run = row["id"]
    assert "running" in local("ps").text
    shown = local("show", run, "--json").document
    assert (shown["run"]["id"], shown["report"], shown["plan"]["schema"]) == (run, None, "aienv.plan/1")
    assert local("logs", run[:6]).stdout == b"ready\n"
    refused = local("rm", run, "--json")
    assert (refused.code, refused.document["error"]["code"]) == (3, "running")
    assert local("gc", "--json").document["folders"] == []
    follower = subprocess.Popen(
        local.command("logs", "-f", run), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(local.environ), cwd=repo
    )
    stopped = local("stop", run, "--json")
    assert (stopped.code, stopped.document["state"], stopped.document["status"]) == (0, "finished", "interrupted")
    assert end(process).code == 130
    assert end(follower).stdout == local("logs", run).stdout
    assert local("logs", run).stdout.startswith(b"ready\n")
    assert git("show", f"{branches(repo)[0]}:flushed", cwd=repo) == "flushed\n"
    assert local("stop", run).code == 0  # stopping what has ended is no error
    nothing_is_left(local, run)


def test_rm_force_stops_a_run_first(local: Aienv, repo: Path) -> None:
    """rm --force of a living run: stopped, harvested, removed."""
    process = local.start("--", "sh", "-c", TRAPS)
    read_until(process, READY)
    run = local("ps", "--json").document[0]["id"]
    assert local("rm", "--force", run).code == 0
    assert end(process).code == 130
    assert local.runs() == []
    assert len(branches(repo)) == 1


def test_folders_deeper_than_a_path_can_name(local: Aienv) -> None:
    """Such a workspace is kept, as it cannot be brought out; it stands in nobody's way, and can be thrown away."""
    deep = "import os\nfor _ in range(5000):\n os.mkdir('d'); os.chdir('d')\nopen('file', 'w').write('x')"
    done = local.run("--json", "--", "python3", "-c", deep)
    assert (done.code, done.document["error"]) == (0, None), done.errors
    assert [row["state"] for row in local.runs()] == ["kept"]
    assert local("gc").code == 0
    assert local("rm", "--force", done.document["id"]).code == 0
    nothing_is_left(local, done.document["id"])


def test_gc_by_age_and_size(local: Aienv) -> None:
    """Old run folders go, a dry run only says so, young ones stay."""
    ids = [local.report("--", "true")["id"] for _ in range(2)]
    assert local("gc", "--json").document["folders"] == []
    would = local("gc", "--older-than", "0s", "--dry-run", "--json").document
    assert would["folders"] == [f"run {run}" for run in ids]
    assert [row["id"] for row in local.runs()] == ids
    by_size = local("gc", "--keep-size", "1b", "--json").document
    assert by_size["folders"] == [f"run {run}" for run in ids]
    assert local.runs() == []


def test_an_output_that_nobody_reads_holds_the_agent_up_and_not_the_stop(local: Aienv) -> None:
    """A blocked terminal stops the agent from running ahead; ^C still ends the run, and the log has what was written."""
    process = local.start("-q", "--", "sh", "-c", "trap 'exit 0' TERM; while :; do echo 0123456789012345678901234567890123456789; done")
    log = local.home / "runs"
    end_s = time.monotonic() + DEADLINE_S
    sizes: list[int] = []
    while len(sizes) < 5 or len(set(sizes[-5:])) > 1:  # until the log stands still: everybody waits for the reader
        assert time.monotonic() < end_s
        sizes.append(sum(path.stat().st_size for path in log.glob("*/agent.log")))
        sizes = sizes if sizes[-1] else []
        time.sleep(0.1)
    assert sizes[-1] < 4 << 20
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE_S) == 130
    assert process.stdout is not None
    process.stdout.close()
    assert result_of(local)["status"] == "interrupted"


def test_runs_side_by_side(local: Aienv, repo: Path) -> None:
    """Four runs of one repository at once: each ends with its own branch."""
    started = [local.start("-q", "--", "sh", "-c", f"echo {number} > made-{number}") for number in range(4)]
    assert [end(process).code for process in started] == [0, 0, 0, 0]
    files = sorted(name for branch in branches(repo) for name in git("ls-tree", "--name-only", branch, cwd=repo).split() if "made" in name)
    assert files == ["made-0", "made-1", "made-2", "made-3"]
    assert list((local.home / "work").iterdir()) == []


def test_a_killed_run_is_finished_by_the_broker(local: Aienv, repo: Path) -> None:
    """kill -9 of the main process while the agent works: the work is harvested without any further command."""
    process = local.start("--", "sh", "-c", PLAIN)
    read_until(process, READY)
    process.kill()
    end(process)
    row = local.runs()[0]
    end_s = time.monotonic() + DEADLINE_S
    while row["state"] != "finished":
        assert time.monotonic() < end_s, row
        time.sleep(0.1)
        row = local.runs()[0]
    while processes_with(row["id"]):  # the recovery itself, on its way out
        assert time.monotonic() < end_s
        time.sleep(0.05)
    assert row["status"] == "interrupted"
    assert git("show", f"{row['branch']}:work", cwd=repo) == "work\n"
    nothing_is_left(local, row["id"])
    assert json.loads((Path(row["folder"]) / "report.json").read_text())["recovered"] is True


def test_a_killed_run_of_a_repository_whose_path_is_no_utf8(local: Aienv, repo: Path) -> None:
    """The plan of such a run is read back too: the work is harvested, not taken for rubbish."""
    odd = Path(os.fsdecode(os.fsencode(repo.parent) + b"/latin-\xe9"))
    repo.rename(odd)
    process = local.start("--", "sh", "-c", PLAIN, cwd=odd)
    read_until(process, READY)
    process.kill()
    end(process)
    end_s = time.monotonic() + DEADLINE_S
    while not branches(odd):
        assert time.monotonic() < end_s
        local("ps", cwd=odd)
        time.sleep(0.1)
    assert git("show", f"{branches(odd)[0]}:work", cwd=odd) == "work\n"


def test_nohup_survives_the_closed_terminal(local: Aienv, repo: Path) -> None:
    """Where HUP was ignored from the start it stays ignored."""
    process = local.start(
        "--",
        "sh",
        "-c",
        "mkfifo go; echo ready; read -r _ < go; rm go; echo x > made",
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    read_until(process, READY)
    process.send_signal(signal.SIGHUP)
    go = next((local.home / "work").glob("*/workspace/app")) / "go"
    go.write_text("go\n")
    done = end(process)
    assert done.code == 0, done.errors
    assert git("show", f"{branches(repo)[0]}:made", cwd=repo) == "x\n"


def test_without_any_standard_input(local: Aienv, repo: Path) -> None:
    """Descriptor 0 closed, as some schedulers start their jobs."""
    process = local.start("-q", "--", "sh", "-c", "cat; echo x > made", stdin=None, preexec_fn=lambda: os.close(0))
    done = end(process)
    assert done.code == 0, done.errors
    assert len(branches(repo)) == 1
