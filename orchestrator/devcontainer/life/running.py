"""The commands of a hook: run side by side, watched, their output kept in a file and shown as it comes."""

import contextlib
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.devcontainer.engine import Docker
from orchestrator.devcontainer.life.hooks import MAY_SERVE, Command, Step
from orchestrator.devcontainer.life.inside import exec_of, run, variables_file
from orchestrator.errors import AienvError, EnvironmentFailed

LOOK_S = 0.05  # how often what was written is shown
SERVES_S = 10.0  # a command that may serve and is at it for so long does
COMMAND_S = 3600.0
KILL_S = 10.0
MASK = "********"
SHOWN_AT_ONCE = 1 << 20  # bytes
MAX_LOG = 64 << 20

# The first line says which process it is and when it began, so that it can be ended: ending ``docker exec`` ends nothing in there.
_NAMED = '{ read -r s </proc/$$/stat; } 2>/dev/null; echo "$$ ${s##*) }"; exec "$@"'
_STAT_WORDS = 21  # of that line, at least; the last of these is the moment of the start
_END = 'kill -KILL "-$1" 2>/dev/null || kill -KILL "$1" 2>/dev/null; :'  # dash takes no --
_RUNS = 'read -r s 2>/dev/null </proc/"$1"/stat || exit 1; s=${s##*) }; set -- "$2" $s; [ "$1" = "${21}" ]'


class HookFailed(EnvironmentFailed):
    """``description``: which command of which hook, from where."""

    code = "hook"

    def __init__(self, message: str, description: str, log: Path) -> None:
        super().__init__(message, remedy=f"what it wrote is in {log}; correct it, and the next up runs it again")
        self.description = description


@dataclass(frozen=True, slots=True)
class Place:
    """Where and as whom hooks run. ``environ`` has the secrets, whose values no log shows."""

    docker: Docker
    container: str
    user: str
    folder: str
    environ: Mapping[str, str] = field(repr=False)
    unset: Sequence[str]
    secrets: Sequence[str] = field(repr=False)
    logs: Path
    show: Callable[[str], None]
    deadline_s: float = COMMAND_S


def run_step(place: Place, step: Step) -> None:
    """All commands of it, each to its end; one that may serve is left running after its time.

    Raises:
        HookFailed: a command failed, or did not end in time. The others have ended.
    """
    place.show(f"Running the {step.hook} from {step.origin}...")
    running = [_Running(place, step, command, number) for number, command in enumerate(step.commands)]
    failures: list[HookFailed] = []
    try:
        with _ended_by_signals():
            for one in running:
                one.start()
            for one in running:
                try:
                    one.wait()
                except HookFailed as problem:
                    failures.append(problem)
    except BaseException:  # ^C too: no hook runs on in the container
        for one in running:
            one.end()
        raise
    if failures:
        raise failures[0]


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """A terminal that is closed, or SIGTERM, is as ^C: else hooks would go on in the container. Whoever has a way of its own keeps it."""
    numbers = (signal.SIGTERM, signal.SIGHUP) if threading.current_thread() is threading.main_thread() else ()
    ours = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    try:
        for number in ours:
            signal.signal(number, signal.default_int_handler)
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


class _Running:
    """One command."""

    def __init__(self, place: Place, step: Step, command: Command, number: int) -> None:
        self._place, self._step, self._command = place, step, command
        self._log = place.logs / f"{step.hook}-{_plain(step.origin)}-{number}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        self._read = 0
        self._pid = ""
        self._begin = 0.0

    @property
    def _name(self) -> str:
        whose = f"{self._command.name} of " if self._command.name else ""
        return f"{whose}{self._step.hook} from {self._step.origin}"

    def start(self) -> None:
        place = self._place
        if self._still_runs():
            return
        if self._command.name:
            place.show(f"Running {self._name}...")
        argv = ("/bin/sh", "-c", _NAMED, "sh", *self._command.argv)
        command = exec_of(
            place.docker, place.container, argv, user=place.user, environ=place.environ, unset=place.unset, folder=place.folder
        )
        descriptor = variables_file(command.variables)
        output = os.open(self._log, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            self._process = subprocess.Popen(
                command.with_file(descriptor), env=dict(place.docker.environ), cwd=place.docker.folder, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, pass_fds=(descriptor,), start_new_session=True,
            )  # fmt: skip
        except OSError as problem:
            raise EnvironmentFailed(f"{place.docker.command} cannot be run: {problem.strerror}") from None
        finally:
            os.close(descriptor)
            os.close(output)
        with contextlib.suppress(OSError):  # it has ended by now; a server's log does not grow for ever either
            resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (2 * MAX_LOG, 2 * MAX_LOG))
        self._begin = time.monotonic()
        threading.Thread(target=self._until_ended, args=(self._process,), daemon=True).start()

    def _still_runs(self) -> bool:
        """Whether one that serves is left alone, started by an earlier ``up``. Another one that was left is ended first: its ``up`` was
        killed, and it is not to run twice at once."""
        try:
            with open(self._log, "rb") as file:
                words = file.readline(1 << 10).split()
        except FileNotFoundError:
            return False
        if len(words) >= _STAT_WORDS and all(word.lstrip(b"-").isdigit() for word in (words[0], *words[2:_STAT_WORDS])):
            pid, began = words[0].decode(), words[_STAT_WORDS - 1].decode()
            if self._inside(_RUNS, pid, began):
                if self._step.hook in MAY_SERVE:
                    self._place.show(f"{self._name} is still running; it writes to {self._log}")
                    return True
                self._inside(_END, pid)
        self._log.unlink(missing_ok=True)  # whoever still writes there writes for nobody
        return False

    def _inside(self, script: str, *words: str) -> bool:
        place = self._place
        command = exec_of(place.docker, place.container, ("/bin/sh", "-c", script, "sh", *words), user=place.user)
        try:
            return run(place.docker, command, deadline_s=KILL_S).returncode == 0
        except AienvError as problem:
            place.show(problem.message)
            return False

    def wait(self) -> None:
        if self._process is None:
            return
        serves = self._step.hook in MAY_SERVE
        end = self._begin + (SERVES_S if serves else self._place.deadline_s)
        while not self._ended.wait(LOOK_S):
            self._show()
            if self._read > MAX_LOG:
                self.end()
                raise self._failure(f"it wrote more than {MAX_LOG >> 20} MiB")
            if time.monotonic() >= end:
                if serves:
                    self._place.show(f"{self._name} is still running after {SERVES_S:g} s; it is left running, and writes to {self._log}")
                    return
                self.end()
                self._hide()
                raise self._failure(f"did not end within {self._place.deadline_s:g} seconds")
        self._show()
        self._hide()
        if (code := self._process.returncode) != 0:
            self._place.show(f"{self._name} failed with exit code {code}. Skipping any further user-provided commands.")
            raise self._failure("")

    def end(self) -> None:
        """Also in the container."""
        if self._process is None or self._process.poll() is not None:
            return
        self._show()
        if (pid := self._pid.partition(" ")[0]).isdigit():
            self._inside(_END, pid)
        self._process.kill()
        self._process.wait()

    def _failure(self, why: str) -> HookFailed:
        shown = _masked(" ".join(self._command.argv), self._place.secrets)
        return HookFailed(f"Command failed: {shown}{f' ({why})' if why else ''}", f"{self._name} failed.", self._log)

    def _until_ended(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._ended.set()

    def _show(self) -> None:
        with open(self._log, "rb") as file:
            file.seek(self._read)
            data = file.read(SHOWN_AT_ONCE)
        whole = data if self._ended.is_set() or len(data) == SHOWN_AT_ONCE else data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        text = whole.decode("utf-8", "replace")
        if not self._pid and "\n" in text:
            self._pid, _, text = text.partition("\n")
        if text.strip("\n"):
            self._place.show(_masked(text.rstrip("\n"), self._place.secrets))
        if len(data) == SHOWN_AT_ONCE and self._read <= MAX_LOG:
            self._show()

    def _hide(self) -> None:
        """Neither the first line nor a secret stays in the file."""
        text = self._log.read_text("utf-8", "surrogateescape")
        first, _, rest = text.partition("\n")
        self._log.write_text(_masked(rest if first == self._pid else text, self._place.secrets), "utf-8", "surrogateescape")


def _masked(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    return text


def _plain(text: str) -> str:
    return "".join(one if one.isalnum() and one.isascii() else "-" for one in text)[-60:]
