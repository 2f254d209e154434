"""Docker in a dev container: a guard of its own beside it, for features that would want privilege, or this machine's engine.

The guard is a process of this machine that lives as long as the container is wanted: ``up`` starts it, and starts it again if it is
gone; ``stop`` and ``down`` end it. What was made through it ends with it.
"""

import contextlib
import hashlib
import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.backends.processes import ProcessId, alive, identify, parse
from orchestrator.devcontainer.engine import Docker
from orchestrator.devcontainer.ids import GUARD
from orchestrator.devcontainer.life.inside import exec_of, run
from orchestrator.errors import EnvironmentFailed

START_S = 60.0
END_S = 60.0
FOLDER_INSIDE = "/run/aienv-guard"
SOCKET = "docker.sock"
_KEY = re.compile(r"[0-9a-f]{16}", re.ASCII)

# Where programs look for it; a path of its own, because a mounted socket would be the one of a guard that has ended.
_LINK = r"""for one; do
    [ -S "$one" ] && [ ! -L "$one" ] && continue
    mkdir -p "${one%/*}" && ln -sfn /run/aienv-guard/docker.sock "$one" || exit
done"""


@dataclass(frozen=True, slots=True)
class Guards:
    """Below ``folder`` each guard has a folder of its own, named by a key of its container's labels."""

    folder: Path
    environ: Mapping[str, str]

    def key(self, labels: Mapping[str, str]) -> str:
        return hashlib.sha256(json.dumps(dict(sorted(labels.items()))).encode()).hexdigest()[:16]

    def mount(self, key: str) -> str:
        """For ``--mount``: the folder, since the socket in it comes and goes with its guard."""
        return f'type=bind,"source={self._place(key)}",target={FOLDER_INSIDE},readonly'

    def ensure(self, key: str, project: str, inside: str) -> None:
        """A guard serves, for the folder ``project`` that the container knows as ``inside``.

        Raises:
            EnvironmentFailed: it did not start.
        """
        place = self._place(key)
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        place.chmod(0o711)  # the container's user reaches the socket; nobody else of this machine comes through the folders above
        if self._owner(key) is not None and _answers(place / SOCKET):
            return
        self.end(key)
        words = (sys.executable, "-m", "orchestrator", "guard", "--mode", "guarded", "--project", project, "--socket", str(place / SOCKET),
                 "--map", f"{inside}={project}", "--no-adopt")  # fmt: skip
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        with open(os.open(place.with_suffix(".log"), flags, 0o600), "wb") as log:
            process = subprocess.Popen(
                words, env=dict(self.environ), cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True
            )
        if (known := identify(process.pid)) is not None:
            self._mark(key).write_text(known.as_text())
        if not _ready(process):
            process.terminate()
            said = place.with_suffix(".log").read_text("utf-8", "replace").strip()
            raise EnvironmentFailed(f"the Docker guard did not start: {said[-500:]}", remedy="aienv doctor looks at the engine")
        (place / SOCKET).chmod(0o666)

    def end(self, key: str) -> None:
        """The guard, and with it what was made through it."""
        if (owner := self._owner(key)) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(owner.pid, signal.SIGTERM)
            deadline = time.monotonic() + END_S
            while self._owner(key) is not None and time.monotonic() < deadline:
                time.sleep(0.02)
        self._mark(key).unlink(missing_ok=True)

    def remove(self, key: str) -> None:
        """End it, and remove its folder."""
        self.end(key)
        place = self._place(key)
        for path in (place / SOCKET, place.with_suffix(".log")):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            place.rmdir()

    def sweep(self, docker: Docker) -> None:
        """Guards whose container is gone end."""
        for path in self.folder.glob("*.pid") if self.folder.is_dir() else ():
            if not docker.containers({GUARD: path.stem}):
                self.remove(path.stem)

    def _place(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise EnvironmentFailed(f"{key[:80]!r} is no key of a guard", remedy="aienv down removes the container; make it anew")
        return self.folder / key

    def _mark(self, key: str) -> Path:
        return self._place(key).with_suffix(".pid")

    def _owner(self, key: str) -> ProcessId | None:
        """The guard's process, if it lives."""
        try:
            process = parse(self._mark(key).read_text())
        except OSError:
            return None
        return process if process is not None and alive(process) else None


def link_sockets(docker: Docker, container: str, targets: Sequence[str]) -> None:
    """Where programs in the container look for Docker, they find the guard.

    Raises:
        EnvironmentFailed: the container's files cannot be written.
    """
    done = run(docker, exec_of(docker, container, ("/bin/sh", "-c", _LINK, "sh", *targets), user="root"))
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise EnvironmentFailed(f"the guard's socket could not be put into the container: {said}")


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def _ready(process: "subprocess.Popen[bytes]") -> bool:
    """Whether it said so in time."""
    assert process.stdout is not None
    with process.stdout, selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        return bool(ready.select(START_S)) and b'"ready"' in process.stdout.readline()
