"""The stand-alone guard as its users have it: ``aienv guard`` as a process of its own, before a real engine.

    with guarding(engine, project, "--allow-image", "postgres:15") as guard:
        command(["docker", "ps"], env=guard.environ())

``AIENV_TEST_UNGUARDED=1`` puts the engine's own socket in the guard's place: what fails then is no fault of the guard.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.engine import Engine

ROOT = Path(__file__).resolve().parent.parent
UNGUARDED = os.environ.get("AIENV_TEST_UNGUARDED", "") == "1"
READY_S = 60.0
END_S = 60.0  # it removes what its clients made


class NotReady(Exception):
    """The guard did not say that it is ready; the message has what it said instead."""


@dataclass(frozen=True)
class Guardian:
    """``address``: a DOCKER_HOST. ``prefix``: words in front of a command that put it where published ports are reached."""

    socket: Path
    address: str
    process: "subprocess.Popen[bytes] | None"
    ready: Mapping[str, object] = field(default_factory=dict)
    errors: Path | None = None
    prefix: tuple[str, ...] = ()

    def environ(self, **more: str) -> dict[str, str]:
        """A client's: as inside of a run, where BuildKit is switched off."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "COMPOSE_", "TESTCONTAINERS_"))}
        return {**plain, "DOCKER_HOST": self.address, "DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0", **more}

    def said(self) -> str:
        """Its standard error so far."""
        return self.errors.read_text(errors="replace") if self.errors else ""

    def peak_kib(self) -> int:
        """The most memory that the process has had."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))


@contextlib.contextmanager
def guarding(engine: Engine, project: Path, *words: str, mode: str = "guarded") -> Iterator[Guardian]:
    """``aienv guard`` before ``engine`` until the block ends; ``words``: further options.

    Raises:
        NotReady: it ended, or said nothing in time.
    """
    if UNGUARDED:
        yield Guardian(engine.root / "engine.sock", engine.address, None, prefix=inside(engine))
        return
    with contextlib.ExitStack() as undo:
        folder = Path(tempfile.mkdtemp(prefix="aienv-guard-", dir="/tmp"))  # a short path: a socket lies in it
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        socket, errors = folder / "docker.sock", folder / "errors"
        argv = (
            sys.executable, "-m", "orchestrator", "guard", "--mode", mode, "--project", str(project), "--socket", str(socket),
            "--daemon", engine.address, *words,
        )  # fmt: skip
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        with open(errors, "wb") as log:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=environ, cwd="/", start_new_session=True
            )
        undo.callback(end, process)
        yield Guardian(socket, f"unix://{socket}", process, _ready(process, errors), errors)


def inside(engine: Engine) -> tuple[str, ...]:
    """Words that put a command into the engine's network namespace: its published ports are there, not on the machine."""
    return ("nsenter", f"--target={engine.state.holder}", "--net", "--")


def _ready(process: "subprocess.Popen[bytes]", errors: Path) -> Mapping[str, object]:
    assert process.stdout is not None
    line, limit = b"", time.monotonic() + READY_S
    while not line.endswith(b"\n"):
        if not select.select([process.stdout], [], [], max(0.0, limit - time.monotonic()))[0]:
            raise NotReady(f"the guard said nothing within {READY_S:.0f} s: {errors.read_text(errors='replace')[-2000:]}")
        if not (more := os.read(process.stdout.fileno(), 65536)):
            raise NotReady(f"the guard ended at once: {errors.read_text(errors='replace')[-2000:]}")
        line += more
    found = json.loads(line)
    if not (isinstance(found, dict) and found.get("ready") is True):
        raise NotReady(f"the guard said {line!r}")
    return found


def end(process: "subprocess.Popen[bytes]") -> int:
    """End it as ^C does and wait; one that does not end is killed, and that is a failure."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(END_S)
        raise
    finally:
        if process.stdout:
            process.stdout.close()
