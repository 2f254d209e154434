"""Commands with bounds."""

import subprocess
import time

import pytest

from orchestrator.devcontainer import bounded

ENVIRON = {"PATH": "/usr/bin:/bin"}


def run(script: str, data: bytes = b"", deadline_s: float = 20.0, limit: int = 1 << 20) -> "subprocess.CompletedProcess[bytes]":
    return bounded.run(("/bin/sh", "-c", script), environ=ENVIRON, folder="/", deadline_s=deadline_s, data=data, limit=limit)


def test_output_input_and_code() -> None:
    done = run("cat; echo err >&2; exit 3", b"x" * 200_000)
    assert (done.returncode, len(done.stdout), done.stderr) == (3, 200_000, b"err\n")


def test_who_takes_no_input() -> None:
    assert run("exec <&-; sleep 0.1; echo done", b"x" * 1_000_000).stdout == b"done\n"


@pytest.mark.parametrize("script", ["exec cat /dev/zero", "exec cat /dev/zero >&2"])
def test_who_says_too_much(script: str) -> None:
    with pytest.raises(bounded.TooMuch):
        run(script)


@pytest.mark.parametrize("script", ["sleep 100", "trap '' TERM; sleep 100 & wait", "exec >&- 2>&-; sleep 100"])
def test_who_does_not_end(script: str) -> None:
    """With all that it started."""
    begin = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        run(script, deadline_s=0.3)
    assert time.monotonic() - begin < 10


def test_a_word_with_nul() -> None:
    with pytest.raises(ValueError, match="null byte"):
        run("a\0b")
