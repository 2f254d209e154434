"""Bombs inside small limits: the run is held or stopped, what it wrote comes out, and a neighbour notices nothing."""

# ruff: noqa: E501 - a script of one line stays one line
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import QUICK_ON_DOCKER, QUICK_ON_LOCAL
from tests.e2e.product import Aienv, branches, end, git
from tests.e2e.test_users import ordinary

__all__ = ["ordinary"]

MIB = 1 << 20
SMALL = ("--memory", "256m", "--pids", "64", "--disk", "32m", "--timeout", "60s")
WRITE = "head -c {size} /dev/urandom > {name}"

NEIGHBOUR = (
    "i=0; while [ $i -lt 40 ]; do /bin/true || exit 9; head -c 20000 /dev/zero > f$i || exit 8; i=$((i+1)); sleep 0.05; done; echo fine"
)


@contextmanager
def neighbour(product: Aienv) -> Iterator[None]:
    """A second run of the same repository at the same time: it works, whatever the first does."""
    process = product.start("-q", *SMALL, "--", "sh", "-c", NEIGHBOUR)
    try:
        yield
    finally:
        done = end(process)
    assert (done.code, done.stdout) == (0, b"fine\n"), done.errors


def bomb(product: Aienv, script: str, *options: str, program: tuple[str, ...] = ("sh", "-c"), env: dict[str, str] | None = None) -> Any:
    """A run of a script inside the small limits; its report, with the exit code of the command as ``code``."""
    done = product.run("--json", *SMALL, *options, "--", *program, script, env=env)
    document = done.document
    document["code"] = done.code
    return document


def is_stopped_by(report: Any, limit: str) -> None:
    """Failed with 1, with a note that names the limit, all cleared away, and the result on a branch."""
    assert (report["code"], report["status"], report["error"]) == (1, "failed", None), report
    notes = [note for note in report["notes"] if note.startswith("stopped: ")]
    assert len(notes) == 1, report["notes"]
    assert limit in notes[0]
    assert report["teardown"]["left"] == []
    assert report["kept"] is None


def groups_of(run: str) -> list[str]:
    """Control groups on this machine that bear the id of a run."""
    return [place for place, _, _ in os.walk("/sys/fs/cgroup") if run in os.path.basename(place)]


def files_of(product: Aienv, report: Any) -> dict[str, int]:
    """Names and sizes of the files on the result's branch."""
    rows = git("ls-tree", "-r", "-l", report["result"]["branch"], cwd=product.cwd).splitlines()
    return {row.split("\t")[1]: int(row.split()[3]) for row in rows}


# --- the workspace ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("product", QUICK_ON_LOCAL, indirect=True)
def test_a_workspace_that_fills_up(product: Aienv) -> None:
    """Several files that are each allowed: stopped, and every byte that was written is in the result."""
    script = "echo first > first; i=0; while :; do " + WRITE.format(size=4 * MIB, name="big$i") + "; i=$((i+1)); sleep 0.05; done"
    with neighbour(product):
        report = bomb(product, script)
    is_stopped_by(report, "limit 32.0 MiB (--disk)")
    files = files_of(product, report)
    assert files["first"] == len("first\n")
    assert 32 * MIB < sum(files.values()) < 200 * MIB
    assert "disk" not in report["unlimited"]
    assert groups_of(report["id"]) == []


def test_one_huge_file(product: Aienv) -> None:
    """A single file ends at the limit by itself, before it is written."""
    script = (
        "import os, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"with open('big', 'wb') as file:\n    file.truncate({32 * MIB})\n"
        f"    try:\n        file.truncate({32 * MIB} + 1)\n    except OSError as problem:\n        print(problem.errno)"
    )
    done = product.run("-q", *SMALL, "--", "python3", "-c", script)
    assert (done.code, done.text) == (0, "27\n"), done.errors


def test_many_small_files(product: Aienv) -> None:
    """Each takes a block on disk, however little is in it."""
    script = 'import itertools, os\nfor n in itertools.count():\n    os.makedirs(f"d{n // 500}", exist_ok=True)\n    open(f"d{n // 500}/f{n}", "w").write("x")'
    report = bomb(product, script, "--disk", "8m", program=("python3", "-c"))
    is_stopped_by(report, "limit 8.0 MiB (--disk)")
    assert len(report["result"]["changed_files"]) > 1500


def test_files_that_are_deleted_while_open(product: Aienv) -> None:
    """They have no name, so no walk finds them; the disk is lost all the same."""
    script = (
        "import os, time\nheld = []\n"
        "while True:\n"
        "    file = open('gone', 'wb'); file.write(os.urandom(8 << 20)); file.flush(); os.fsync(file.fileno()); os.unlink('gone')\n"
        "    held.append(file); time.sleep(0.05)"
    )
    report = bomb(product, script, program=("python3", "-c"))
    is_stopped_by(report, "in deleted files that are still open, limit 32.0 MiB (--disk)")


@pytest.mark.parametrize("product", QUICK_ON_DOCKER, indirect=True)
def test_a_writer_that_ignores_the_request_to_stop(product: Aienv) -> None:
    """It goes on writing in its grace, so its grace is over: far less than the ten seconds that it has."""
    script = "trap '' TERM; i=0; while :; do " + WRITE.format(size=8 * MIB, name="big$i") + "; i=$((i+1)); sleep 0.1; done"
    report = bomb(product, script, env={"AIENV_LIMITS_GRACE": "50s", "AIENV_LIMITS_TIMEOUT": "1m"})
    is_stopped_by(report, "(--disk)")
    assert report["exit_code"] == 137
    assert report["timings"]["agent"] < 40


def test_what_is_written_in_the_grace_comes_out(product: Aienv) -> None:
    """TERM first: an agent that then writes its transcript and leaves is harvested with it."""
    script = (
        "trap 'echo bye > transcript; exit 0' TERM; " + WRITE.format(size=20 * MIB, name="a") + "; " + WRITE.format(size=20 * MIB, name="b")
    )
    report = bomb(product, script + "; while :; do sleep 0.1; done")
    is_stopped_by(report, "(--disk)")
    assert report["exit_code"] == 0
    assert files_of(product, report)["transcript"] == 4


def test_a_check_that_fills_the_workspace(product: Aienv) -> None:
    """Stopped like the agent; the run fails, the agent's work is delivered without the check's."""
    check = "i=0; while :; do " + WRITE.format(size=4 * MIB, name="big$i") + "; i=$((i+1)); done"
    report = bomb(product, "echo made > made", "--check", check)
    assert (report["code"], report["status"]) == (1, "failed")
    assert report["checks"][0]["exit_code"] != 0
    assert any("stopped: the workspace holds" in note for note in report["notes"])
    assert set(files_of(product, report)) == {"README", "src/a.py", "made"}


# --- processes and memory ---------------------------------------------------------------------------------------------


def test_a_fork_bomb(product: Aienv) -> None:
    """Processes end at the limit; the machine and a neighbour start theirs as ever; the end of the run ends all of it."""
    with neighbour(product):
        report = bomb(product, "echo before > before; b() { b | b & wait; }; b 2>/dev/null; sleep 1", "--timeout", "5s")
        assert subprocess.run(["true"], check=False, timeout=10).returncode == 0
    assert report["status"] in ("timeout", "failed", "succeeded")
    assert "before" in files_of(product, report)
    assert report["teardown"]["left"] == []


def test_as_many_processes_as_are_allowed(product: Aienv) -> None:
    """Counted from inside: not more than the limit, and not much fewer."""
    script = (
        "import os, time\nn = 0\ntry:\n"
        "    while n < 500:\n        if os.fork() == 0:\n            time.sleep(20); os._exit(0)\n        n += 1\n"
        "except OSError as problem:\n    pass\nprint(n)\n"
    )
    done = product.run("-q", *SMALL, "--", "python3", "-c", script)
    assert 40 <= int(done.text) <= 64


HOGS = {
    "one-process": "x = bytearray(os.urandom(MIB)) * 1000",
    "many-processes": "for _ in range(40):\n    if os.fork() == 0:\n        x = bytearray(os.urandom(MIB)) * 25; time.sleep(20); os._exit(0)\ntime.sleep(8)",
    "memory-file": "f = os.memfd_create('m')\nfor _ in range(1000): os.write(f, os.urandom(MIB))",
    "shared": "x = mmap.mmap(-1, 1000 * MIB)\nfor _ in range(1000): x.write(os.urandom(MIB))",
    "dev-shm": "f = open('/dev/shm/f', 'wb')\nfor _ in range(1000): f.write(os.urandom(MIB))",
    "tmp": "f = open('/tmp/f', 'wb')\nfor _ in range(1000): f.write(os.urandom(MIB))",
    "all-folders": (
        "for name in ('/tmp/f', '/dev/shm/f', os.environ['HOME'] + '/f'):\n"
        "    try:\n        f = open(name, 'wb')\n        for _ in range(1000): f.write(os.urandom(MIB))\n"
        "    except OSError: pass\n"
        "    total += os.stat(name).st_size\nprint('held', total // MIB)\nsys.exit(0 if total < 256 * MIB else 7)"
    ),
}


@pytest.mark.parametrize("hog", HOGS)
@pytest.mark.parametrize("product", QUICK_ON_LOCAL, indirect=True)
def test_a_memory_hog(product: Aienv, hog: str) -> None:
    """However memory is taken, more than the limit cannot be held; this machine keeps its own."""
    before = available()
    script = "import mmap, os, sys, time\nMIB = 1 << 20\ntotal = 0\nopen('before', 'w').write('x')\n" + HOGS[hog]
    lowest = before
    process = product.start("--json", *SMALL, "--", "python3", "-c", script)
    while process.poll() is None:
        lowest = min(lowest, available())
        time.sleep(0.05)
    done = end(process)
    report = json.loads(done.stdout)
    assert report["status"] in ("failed", "succeeded"), report
    assert "before" in files_of(product, report)
    if hog == "all-folders":
        assert report["exit_code"] == 0, report
    elif hog != "many-processes":
        assert report["status"] == "failed"
    assert before - lowest < 1200 * MIB  # the limit, and what two others do on this machine meanwhile


def available() -> int:
    rows = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(rows["MemAvailable"].split()[0]) << 10


def test_killed_for_memory_is_told(product: Aienv) -> None:
    """Where a control group ends a process, a note says why: from inside it looks like any other kill."""
    script = 'sh -c \'python3 -c "import os; x = [bytearray(os.urandom(1 << 20)) * 20 for _ in range(5)]; [os.fork() for _ in range(4)]; [y.__setitem__(slice(None), b\\"z\\" * len(y)) for y in x]"; true\''
    report = bomb(product, script, "--memory", "128m")
    assert report["status"] == "succeeded"
    if "memory" not in report["unlimited"]:
        assert any("the kernel ended" in note and "--memory" in note for note in report["notes"]), report["notes"]


def test_open_files(product: Aienv) -> None:
    """At most so many for each process."""
    script = "import os\nn = 0\ntry:\n    while True:\n        os.open('/dev/null', 0)\n        n += 1\nexcept OSError as problem:\n    print(n, problem.errno)"
    done = product.run("-q", *SMALL, "--", "python3", "-c", script, env={"AIENV_LIMITS_OPEN_FILES": "128"})
    count, number = done.text.split()
    assert (100 < int(count) <= 128, number) == (True, "24")


# --- output -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("product", QUICK_ON_LOCAL, indirect=True)
def test_a_flood_of_output(product: Aienv) -> None:
    """All of it passes through; of the log the beginning and the end are kept, and a note says so."""
    script = "echo BEGIN; head -c 6000000 /dev/zero | tr '\\0' x; echo; echo END"
    done = product.run(*SMALL, "--", "sh", "-c", script, env={"AIENV_LIMITS_OUTPUT": "1m"})
    assert done.code == 0
    assert len(done.stdout) == 6_000_000 + len("BEGIN\n\nEND\n")
    run = product.runs()[0]["id"]
    folder = product.home / "runs" / run
    text = (folder / "agent.log").read_bytes()
    assert (text.startswith(b"BEGIN\nxxx"), text.endswith(b"xxx\nEND\n")) == (True, True)
    assert b"[aienv: the output is longer than limits.output (1.0 MiB)" in text
    assert len(text) < MIB + 1000
    assert product("logs", run).stdout == text
    assert "between them were cut (limits.output)" in done.errors
    assert [path.name for path in folder.iterdir() if ".end-" in path.name] == []


def test_a_killed_run_with_a_flood(product: Aienv) -> None:
    """kill -9 of aienv in the middle of a flood: the recovery puts the log together."""
    script = "echo BEGIN; while :; do echo 0123456789012345678901234567890123456789; done"
    process = product.start("-q", *SMALL, "--", "sh", "-c", script, env={"AIENV_LIMITS_OUTPUT": "256k"}, stdout=subprocess.DEVNULL)
    limit = time.monotonic() + 60
    try:
        while not any(int(path.name.rpartition("-")[2]) > 2 for path in product.home.glob("runs/*/agent.log.end-*")):
            assert time.monotonic() < limit
            time.sleep(0.05)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        end(process)
    while product.runs()[0]["state"] != "finished":
        assert time.monotonic() < limit
        time.sleep(0.2)
    folder = product.home / "runs" / product.runs()[0]["id"]
    assert groups_of(folder.name) == []
    assert [path.name for path in folder.iterdir() if ".end-" in path.name] == []
    text = (folder / "agent.log").read_bytes()
    assert text.startswith(b"BEGIN\n0123")
    assert 128 << 10 < len(text) < 300 << 10


# --- without control groups -------------------------------------------------------------------------------------------


def test_memory_of_an_ordinary_user(ordinary: Aienv) -> None:
    """Nothing holds the whole there, so it is watched; if so, the report says that it is not held."""
    script = (
        "import os, time\nopen('before', 'w').write('x')\n"
        "for _ in range(20):\n    if os.fork() == 0:\n        x = bytearray(os.urandom(1 << 20)) * 25; time.sleep(30); os._exit(0)\n    time.sleep(0.1)\n"
        "time.sleep(30)"
    )
    report = bomb(ordinary, script, program=("python3", "-c"))
    if "memory" not in report["unlimited"]:
        pytest.skip("this user has control groups here; the other cases cover them")
    is_stopped_by(report, "limit 256.0 MiB (--memory)")
    assert "before" in files_of(ordinary, report)


@pytest.mark.parametrize("where", ["/tmp/f", "/dev/shm/f", "memfd"])
def test_memory_files_of_an_ordinary_user(ordinary: Aienv, where: str) -> None:
    """Files in memory count, with a name or without."""
    made = "os.fdopen(os.memfd_create('m'), 'wb')" if where == "memfd" else f"open({where!r}, 'wb')"
    script = (
        "import os, time\n"
        f"f = {made}\nfor _ in range(25):\n    f.write(os.urandom(1 << 20)); f.flush()\n"
        "for _ in range(12):\n    if os.fork() == 0:\n        x = bytearray(os.urandom(1 << 20)) * 19; time.sleep(30); os._exit(0)\n    time.sleep(0.05)\n"
        "time.sleep(30)"
    )
    report = bomb(ordinary, script, program=("python3", "-c"))
    if "memory" not in report["unlimited"]:
        pytest.skip("this user has control groups here; the other cases cover them")
    is_stopped_by(report, "limit 256.0 MiB (--memory)")
    assert any("25." in note for note in report["notes"]), report["notes"]


def test_a_workspace_with_closed_folders(ordinary: Aienv) -> None:
    """What cannot be measured is said, and the file system's loss stands in for it."""
    script = (
        "import itertools, os, time\nos.mkdir('closed')\nfolder = os.open('closed', os.O_RDONLY)\nos.chmod('closed', 0)\n"
        "place = f'/proc/self/fd/{folder}'\ntime.sleep(1)\n"
        "os.chmod('closed', 0o700); os.chdir('closed'); os.chmod('.', 0o300)\n"
        "for n in itertools.count():\n    open(f'f{n}', 'wb').write(os.urandom(4 << 20)); time.sleep(0.05)"
    )
    report = bomb(ordinary, script, program=("python3", "-c"))
    is_stopped_by(report, "folders that cannot be read, and since the start the disk lost")
    assert any("could not be measured" in note for note in report["notes"])
    assert len(branches(ordinary.cwd)) == 1


def test_the_neighbours_of_a_local_run_have_groups_of_their_own(local: Aienv) -> None:
    """Two runs at once, each with a small limit: the one's bomb is not the other's."""
    quiet = replace(local, options=(*local.options, "-q"))
    process = quiet.start(*SMALL, "--timeout", "6s", "--", "sh", "-c", "b() { b | b & wait; }; b 2>/dev/null; sleep 3")
    try:
        time.sleep(1)
        done = quiet.run(*SMALL, "--", "sh", "-c", "for i in 1 2 3 4 5; do /bin/true & done; wait; echo fine")
        assert (done.code, done.text) == (0, "fine\n"), done.errors
    finally:
        end(process)
