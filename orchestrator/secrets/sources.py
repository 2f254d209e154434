"""Where the value of a credential comes from, and fetching it. The value is returned by ``resolve`` and stands nowhere else.

A *source* is text that plans, logs and reports show: ``env://VAR``, ``file://PATH``, ``cmd://COMMAND LINE``, ``keyring://SERVICE/USER``.
No message of this module repeats a value, nor text that could be one: a value pasted where a name belongs is the usual mistake.
"""

import contextlib
import errno
import importlib.util
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from orchestrator.egress.standins import looks_like_value
from orchestrator.errors import ConfigError

MAX_VALUE_BYTES = 16 * 1024
MAX_SOURCE_CHARACTERS = 1000
COMMAND_DEADLINE_S = 30.0
_KILL_GRACE_S = 2.0
_MAX_STDERR_BYTES, _MAX_STDERR_CHARACTERS = 64 * 1024, 600  # kept; shown

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_FORMS = "NAME, NAME=env://VAR, NAME=file://PATH, NAME=cmd://COMMAND or NAME=keyring://SERVICE/USER"


def parse_secret(text: str) -> tuple[str, str]:
    """Name and source of one item of ``secrets``; a name alone means the variable of that name.

    Raises:
        ConfigError: it is none, or it holds a value.
    """
    name, equals, source = text.partition("=")
    if not _NAME.fullmatch(name) or looks_like_value(name):
        raise ConfigError(
            "a secret is named by a variable's name, and what stands there is none (not repeated here)", remedy=f"use {_FORMS}"
        )
    if name.startswith("AIENV"):
        raise ConfigError(f"secret {name}: names that begin with AIENV are aienv's own", remedy="choose another name")
    return name, _checked_source(name, source) if equals else f"env://{name}"


def _checked_source(name: str, source: str) -> str:
    scheme, separator, rest = source.partition("://")
    if not separator or scheme not in _FETCHERS:
        message = f"secret {name}: what follows '=' is no source (not repeated here: it may be the value itself)"
        raise ConfigError(message, remedy=f"never write a value here; use {_FORMS}")
    if not rest or len(source) > MAX_SOURCE_CHARACTERS or not source.isprintable() or rest != rest.strip():
        message = f"secret {name}: the source {scheme}:// is empty, too long, or holds characters that cannot be shown"
        raise ConfigError(message, remedy=f"use {_FORMS}")
    if any(looks_like_value(word) for word in re.split(r"[\s=:'\"/@,;]+", rest)):
        message = f"secret {name}: the source holds what looks like a value; sources are shown in plans"
        raise ConfigError(message, remedy="keep the value in a variable, a file or a keyring, and name that")
    if problem := _CHECKS[scheme](rest):
        raise ConfigError(f"secret {name}: {problem}", remedy=f"use {_FORMS}")
    return source


def resolve(source: str, environ: Mapping[str, str], *, name: str) -> str:
    """The value: one line of printable ASCII. ``environ``: the user's; commands get it, ``~`` comes from it.

    Raises:
        ConfigError: there is none, or it cannot be a header's value. The message names secret and source, never the value.
    """
    scheme, _, rest = source.partition("://")
    return _checked_value(name, source, _FETCHERS[scheme](name, rest, environ))


def warnings(source: str, environ: Mapping[str, str], *, name: str) -> tuple[str, ...]:
    """What the user should know although it works: a file that others can read."""
    scheme, _, rest = source.partition("://")
    if scheme != "file":
        return ()
    with contextlib.suppress(OSError):
        if os.stat(_expanded(rest, environ)).st_mode & stat.S_IROTH:
            return (f"secret {name}: everybody on this machine can read {rest}; chmod 600 it",)
    return ()


def _checked_value(name: str, source: str, value: str) -> str:
    value = value.removesuffix("\n").removesuffix("\r")
    problem = _value_problem(value)
    if problem:
        raise ConfigError(f"secret {name}: the value from {source} {problem}", remedy=f"check what {source} gives", code="secret")
    return value


def _value_problem(value: str) -> str | None:
    if not value:
        return "is empty"
    if "\n" in value or "\r" in value:
        return "has more than one line"
    if len(value) > MAX_VALUE_BYTES:
        return f"is longer than {MAX_VALUE_BYTES} bytes"
    if not value.isascii():
        return "holds a character that is not ASCII, which no header carries"
    if not value.isprintable():
        return "holds a control character"
    return "begins or ends with a blank" if value != value.strip() else None


def _failed(name: str, message: str, remedy: str) -> ConfigError:
    return ConfigError(f"secret {name}: {message}", remedy=remedy, code="secret")


def _from_environment(name: str, variable: str, environ: Mapping[str, str]) -> str:
    if variable not in environ:
        remedy = f"export {variable}, or name another source: --secret {name}=file://PATH"
        raise _failed(name, f"the variable {variable} is not set", remedy)
    return environ[variable]


def _expanded(path: str, environ: Mapping[str, str]) -> Path:
    return Path(_home(environ), path[2:]) if path.startswith("~/") else Path(path)


def _home(environ: Mapping[str, str]) -> str:
    return environ.get("HOME") or os.path.expanduser("~")


def _from_file(name: str, path: str, environ: Mapping[str, str]) -> str:
    try:
        # Not blocking: opening a FIFO would wait for its writer.
        descriptor = os.open(_expanded(path, environ), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
            # The longest value, a line's end of two bytes, and one byte that is too much; a regular file gives it in one piece.
            content = os.read(descriptor, MAX_VALUE_BYTES + 3) if is_file else b""
        finally:
            os.close(descriptor)
    except OSError as problem:
        raise _failed(name, f"{path} cannot be read: {problem.strerror}", "check the path and its permissions") from None
    if not is_file:
        raise _failed(name, f"{path} is no regular file", f"name a file, or use {name}=cmd://COMMAND")
    return content.decode("ascii", "surrogateescape")


def _from_command(name: str, line: str, environ: Mapping[str, str]) -> str:
    return _run(name, shlex.split(line), environ, f"run the command yourself: {line}")


def _from_keyring(name: str, place: str, environ: Mapping[str, str]) -> str:
    service, _, user = place.rpartition("/")
    remedy = f"store it there: keyring set {shlex.quote(service)} {shlex.quote(user)}"
    if _keyring_is_here():
        # In a process of its own, so that a keyring that waits for its password meets the deadline. -P: never a keyring.py of the
        # current folder, which may be anybody's repository.
        return _run(name, [sys.executable, "-P", "-m", "keyring", "get", service, user], environ, remedy)
    if tool := shutil.which("secret-tool", path=environ.get("PATH")):
        return _run(name, [tool, "lookup", "service", service, "username", user], environ, remedy)  # the attributes that keyring uses
    raise _failed(
        name, "there is no keyring: neither Python's keyring package nor secret-tool", "pip install keyring, or use another source"
    )


def _keyring_is_here() -> bool:
    found = importlib.util.find_spec("keyring")
    return found is not None and found.origin is not None and not found.origin.startswith(os.getcwd() + os.sep)


def _run(name: str, argv: Sequence[str], environ: Mapping[str, str], remedy: str) -> str:
    """The standard output of a program without a shell, a terminal or input. Its errors are shown when it fails, its output never."""
    starting = _Starting(argv, environ)
    finished = False
    try:
        process = starting.result()
        out, err = _Drain(process.stdout, MAX_VALUE_BYTES + 3), _Drain(process.stderr, _MAX_STDERR_BYTES)
        code = process.wait(COMMAND_DEADLINE_S)
        finished = out.ended() and err.ended()
    except OSError as problem:
        raise _failed(name, f"{argv[0]} cannot be started: {problem.strerror}", remedy) from None
    except subprocess.TimeoutExpired:
        finished = False
    finally:
        if not finished:  # ^C too: the program must not outlive us
            starting.end()
    if not finished:
        raise _failed(name, f"{argv[0]} gave no answer within {COMMAND_DEADLINE_S:.0f} s", remedy)
    value = out.text()
    if code != 0:
        raise _failed(name, f"{argv[0]} failed with exit code {code}{_complaint(err.text(), value)}", remedy)
    return value


def _complaint(stderr: str, value: str) -> str:
    """What a failing program said, without lines of its output (``set -x`` shows them), for a terminal."""
    for line in filter(None, value.split()):
        stderr = stderr.replace(line, "***")
    shown = "".join(char if char.isprintable() else " " for char in stderr.strip()[-_MAX_STDERR_CHARACTERS:])
    return f": {shown}" if shown else ""


class _Starting:
    """A program without a shell, a terminal or input, started in a thread: ^C comes to the main one, and could come there when the program
    runs already and nobody knows of it yet.
    """

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._problem: OSError | None = None
        self._thread = threading.Thread(target=self._start, args=(argv, environ), daemon=True)
        self._thread.start()

    def _start(self, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        try:
            self._process = subprocess.Popen(
                argv,
                env=dict(environ),
                cwd=_home(environ) if os.path.isdir(_home(environ)) else "/",  # not the current folder: it may be anybody's repository
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # a group to kill, and no terminal to ask on
            )
        except OSError as problem:
            self._problem = problem

    def result(self) -> subprocess.Popen[bytes]:
        """Raises OSError."""
        self._thread.join()
        if self._process is None:
            raise self._problem or OSError(errno.EAGAIN, "no process")
        return self._process

    def end(self) -> None:
        """End the program and what it started."""
        self._thread.join(_KILL_GRACE_S)
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_GRACE_S)


class _Drain:
    """Reads a pipe to its end in a thread and keeps the beginning."""

    def __init__(self, pipe: IO[bytes] | None, most: int) -> None:
        assert pipe is not None
        self._pipe = pipe
        self._most = most
        self._kept = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), 65536):
                self._kept = (self._kept + chunk)[: self._most]

    def ended(self) -> bool:
        """Whether the pipe came to its end; a child that lives on may hold it."""
        self._thread.join(_KILL_GRACE_S)
        return not self._thread.is_alive()

    def text(self) -> str:
        return self._kept.decode("ascii", "surrogateescape")


def _variable_problem(rest: str) -> str | None:
    return None if _NAME.fullmatch(rest) else "env:// is followed by a variable's name (what stands there is not repeated)"


def _path_problem(rest: str) -> str | None:
    return None if rest.startswith(("/", "~/")) and rest != "/" else f"file:// is followed by an absolute path or ~/..., not {rest[:80]!a}"


def _line_problem(rest: str) -> str | None:
    try:
        words = shlex.split(rest)
    except ValueError as problem:
        return f"cmd:// is followed by words as a shell splits them: {problem}"
    if "/" in words[0] and not words[0].startswith("/"):
        return f"cmd:// runs in the home folder, so {words[0][:80]!a} needs an absolute path"
    return None


def _keyring_problem(rest: str) -> str | None:
    service, slash, user = rest.rpartition("/")
    ok = slash and service and user and not service.startswith("-") and not user.startswith("-")
    return None if ok else "keyring:// is followed by SERVICE/USER"


_CHECKS: Mapping[str, Callable[[str], str | None]] = {
    "env": _variable_problem,
    "file": _path_problem,
    "cmd": _line_problem,
    "keyring": _keyring_problem,
}
_FETCHERS: Mapping[str, Callable[[str, str, Mapping[str, str]], str]] = {
    "env": _from_environment,
    "file": _from_file,
    "cmd": _from_command,
    "keyring": _from_keyring,
}
