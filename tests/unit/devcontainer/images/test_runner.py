"""A command whose output is told while it comes: real processes."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from orchestrator.devcontainer.engine import Unasked
from orchestrator.devcontainer.images.building import id_file
from orchestrator.devcontainer.images.runner import KEPT_LINES, SHOWN, Said, run
from orchestrator.errors import EnvironmentFailed

ENVIRON = {"PATH": "/usr/bin:/bin", "A": "x"}


def sh(script: str, log: list[str], deadline_s: float = 20, data: bytes | None = None) -> Said:
    with tempfile.TemporaryFile() as file:
        file.write(data or b"")
        file.seek(0)
        return run(("sh", "-c", script), ENVIRON, "/", log.append, deadline_s, None if data is None else file)


def test_both_outputs_and_the_code() -> None:
    log: list[str] = []
    assert sh("echo $A; pwd; printf '\\033[91mouch\\033[0m\\n' >&2; exit 3", log) == Said(3, ("x", "/", "ouch"))
    assert log == ["x", "/", "ouch"]


def test_standard_input() -> None:
    assert sh("cat", [], data=b"a\nb") == Said(0, ("a", "b"))
    assert sh("cat", []) == Said(0, ())


def test_only_the_last_lines_are_kept_and_long_ones_are_cut() -> None:
    log: list[str] = []
    found = sh(f"seq {KEPT_LINES + 50}; printf '%02000d\\n' 1", log)
    assert len(found.lines) == KEPT_LINES
    assert len(log) == KEPT_LINES + 51
    assert len(log[-1]) == SHOWN + 3


def test_the_deadline_ends_it_and_what_it_started() -> None:
    before = time.monotonic()
    with pytest.raises(EnvironmentFailed, match=r"did not end within 0\.3 seconds"):
        sh("sleep 30 & sleep 30", [], deadline_s=0.3)
    assert time.monotonic() - before < 10


def test_no_such_program() -> None:
    with pytest.raises(Unasked):
        run(("/none/docker", "build"), ENVIRON, "/", print, 5)


def test_a_log_that_fails_ends_the_command() -> None:
    def log(line: str) -> None:
        raise KeyboardInterrupt

    before = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(("sh", "-c", "echo x; sleep 30"), ENVIRON, "/", log, 60)
    assert time.monotonic() - before < 10


def test_it_ends_with_us() -> None:
    """Killed without a word, we leave no build that goes on."""
    program = (
        "from orchestrator.devcontainer.images.runner import run\n"
        "run(('sh', '-c', 'echo $$; exec sleep 60'), {'PATH': '/usr/bin:/bin'}, '/', lambda line: print(line, flush=True), 60)"
    )
    with subprocess.Popen((sys.executable, "-c", program), stdout=subprocess.PIPE) as us:
        assert us.stdout is not None
        command = int(us.stdout.readline())
        assert Path(f"/proc/{command}").exists()
        us.kill()
        end = time.monotonic() + 10
        while _runs(command) and time.monotonic() < end:
            time.sleep(0.02)
    assert not _runs(command)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"  # nobody may wait for it here
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    for name, age_s in (("id-old", 100_000), ("id-new", 10), ("other", 100_000)):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)
    with id_file(tmp_path) as path:
        assert not path.exists()
        path.write_text("x")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["id-new", "other"]
