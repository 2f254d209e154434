"""A command whose output is told while it comes, whose standard input may be a file, and which does not outlive us: a build of a killed
``aienv`` would go on for as long as its Dockerfile likes."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from orchestrator.devcontainer.engine import Unasked
from orchestrator.errors import EnvironmentFailed

KEPT_LINES = 400
MAX_LINE = 8192
SHOWN = 500
_REMEDY = "install docker, or name it with --docker-path"

# The kernel ends the command with the thread that waits for it. Set by a program of its own: code between fork and exec of a process with
# threads may wait for ever.
_TIED = """import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # the classic builder paints what a step says on its second output


@dataclass(frozen=True, slots=True)
class Said:
    """``code``: 0 for success; ``lines``: the last ones of both outputs."""

    code: int
    lines: tuple[str, ...]


def run(
    words: Sequence[str],
    environ: Mapping[str, str],
    folder: str,
    log: Callable[[str], None],
    deadline_s: float,
    stdin: BinaryIO | None = None,
) -> Said:
    """The command's end, whatever its code.

    Raises:
        Unasked: it cannot be run.
        EnvironmentFailed: it did not end in time.
    """
    late = threading.Event()
    lines: deque[str] = deque(maxlen=KEPT_LINES)

    def end() -> None:
        late.set()
        _kill(process)

    watch = threading.Timer(deadline_s, end)
    watch.daemon = True
    program = os.path.join(folder, words[0]) if "/" in words[0] else words[0]
    if shutil.which(program, path=environ.get("PATH", os.defpath)) is None:
        raise Unasked(f"{words[0]} cannot be run: there is no such program", remedy=_REMEDY)
    try:
        process = subprocess.Popen(
            (sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid()), *words),
            env=dict(environ),
            cwd=folder,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # it and its plugins end together
        )
    except OSError as problem:
        raise Unasked(f"{words[0]} cannot be run: {problem.strerror}", remedy=_REMEDY) from None
    try:
        watch.start()
        assert process.stdout is not None
        with process.stdout as stream:
            while data := stream.readline(MAX_LINE):
                line = _COLOUR.sub("", data.decode(errors="replace")).rstrip()
                lines.append(line)
                log(line if len(line) <= SHOWN else line[:SHOWN] + "...")
        code = process.wait()
    finally:
        watch.cancel()
        if process.returncode is None:
            _kill(process)
            process.wait()
    if late.is_set():
        raise EnvironmentFailed(f"{words[0]} {words[1]} did not end within {deadline_s:g} seconds")
    return Said(code, tuple(lines))


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
