"""The one place that starts the git program on the host.

Rule: no git of ours reads a hook, a file system monitor, a pager or an editor from any configuration, and none takes a folder for a
bare repository by its looks: such a folder can be committed, configuration and all. ``trusted=False`` (the default) reads no configuration
of the user or the system either. ``trusted=True`` is for the user's own repository and for the network: the user fetches with his own
rights, so his credential helpers, proxies and ssh settings hold.
"""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from orchestrator.errors import EnvironmentFailed
from orchestrator.repos.failures import RemoteUnreachable, explain

LOCAL_DEADLINE_S = 120.0
TERM_GRACE_S = 3.0  # git removes its lock files on TERM; after KILL they stay
PIPE_GRACE_S = 2.0  # a connection that ssh keeps for later holds our pipes open for ever
STDERR_MAX_BYTES = 64 * 1024

NEUTRAL: tuple[tuple[str, str], ...] = (
    ("core.hooksPath", "/dev/null"),
    ("safe.bareRepository", "explicit"),  # see ``local.locate``
    ("core.fsmonitor", "false"),
    ("core.untrackedCache", "false"),
    ("core.splitIndex", "false"),  # else writing a copy of an index would write beside the original too
    ("core.alternateRefsCommand", "true"),  # a program for every fetch into a repository that borrows; without its answer git reads more
    ("core.pager", "cat"),
    ("core.editor", "false"),
    ("protocol.ext.allow", "never"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("advice.detachedHead", "false"),
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "60"),
)

# What decides how the user reaches a server, or whom he trusts. All other GIT_* variables of the caller name a repository or change output.
_KEPT_FOR_USER = frozenset({
    "GIT_ASKPASS", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_PROXY_COMMAND", "GIT_PROXY_SSL_CAINFO", "GIT_ALLOW_PROTOCOL",
    "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_CERT", "GIT_SSL_KEY", "GIT_SSL_NO_VERIFY", "GIT_SSL_VERSION", "GIT_HTTP_USER_AGENT",
    "GIT_HTTP_LOW_SPEED_LIMIT", "GIT_HTTP_LOW_SPEED_TIME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM",
    "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM", "GIT_TRACE2_EVENT", "GIT_EXEC_PATH",
})  # fmt: skip
_KEPT_ALWAYS = ("PATH", "TMPDIR", "GIT_EXEC_PATH", "GIT_TRACE2_EVENT", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class GitResult:
    """What git said. ``stdout`` is empty when it went to a file."""

    stdout: bytes
    stderr: str
    code: int

    @property
    def text(self) -> str:
        """``stdout`` without its last newline; bytes that are not UTF-8 survive as surrogates."""
        return self.stdout.decode("utf-8", "surrogateescape").removesuffix("\n")


def git(
    args: Sequence[str | bytes],
    *,
    doing: str = "",
    cwd: Path | None = None,
    git_dir: Path | None = None,
    work_tree: Path | None = None,
    env: Mapping[str, str] | None = None,
    config: Iterable[tuple[str, str]] = (),
    input: bytes | IO[bytes] | None = None,
    output: IO[bytes] | None = None,
    deadline_s: float = LOCAL_DEADLINE_S,
    check: bool = True,
    trusted: bool = False,
    secrets: tuple[str, ...] = (),
) -> GitResult:
    """Run ``git args`` and wait for it.

    ``config`` travels in the environment, so that no value shows in a process list. ``doing`` begins the message of an error; ``secrets``
    never appear in one.

    Raises:
        NotFound, EnvironmentFailed: git failed and ``check`` is set, see ``failures.COMPLAINTS``.
        RemoteUnreachable: the deadline passed (a ``trusted`` command waits for a network).
        EnvironmentFailed: there is no git program.
    """
    named = doing or f"git {_word(args)}"
    environ = _environment(os.environ, trusted=trusted, config=config)
    if git_dir is not None:
        environ["GIT_DIR"] = str(git_dir)
    if work_tree is not None:
        environ["GIT_WORK_TREE"] = str(work_tree)
    environ.update(env or {})
    argv = ("git", "--no-pager", "--literal-pathspecs", *args)
    result = _run(argv, named, cwd, environ, input, output, deadline_s, trusted)
    if check and result.code != 0:
        raise explain(named, result.stderr, secrets)
    return result


def _word(args: Sequence[str | bytes]) -> str:
    first = args[0] if args else ""
    return first if isinstance(first, str) else os.fsdecode(first)


def _environment(caller: Mapping[str, str], *, trusted: bool, config: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The whole environment of one git: the caller's, cut down, plus what makes git predictable."""
    if trusted:
        environ = {name: value for name, value in caller.items() if not name.startswith("GIT_") or name in _KEPT_FOR_USER}
    else:
        environ = {name: caller[name] for name in _KEPT_ALWAYS if name in caller}
        # HOME also leads to attributes and ignore files that git reads although no configuration names them.
        environ |= {"HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ATTR_NOSYSTEM": "1"}
    environ.pop("LANGUAGE", None)
    environ |= {
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_PAGER": "cat",
    }
    return environ | _config_variables(caller if trusted else {}, (*NEUTRAL, *config))


def _config_variables(caller: Mapping[str, str], config: Iterable[tuple[str, str]]) -> dict[str, str]:
    """``config`` as GIT_CONFIG_KEY_n, after what the caller has there: CI systems hand over credentials this way."""
    count = int(caller["GIT_CONFIG_COUNT"]) if caller.get("GIT_CONFIG_COUNT", "").isdecimal() else 0
    keys = [f"GIT_CONFIG_KEY_{n}" for n in range(min(count, 1000))]
    pairs = [(caller[key], caller.get(key.replace("KEY", "VALUE"), "")) for key in keys if key in caller]
    pairs.extend(config)
    variables: dict[str, str] = {}
    for n, (key, value) in enumerate(pairs):
        variables |= {f"GIT_CONFIG_KEY_{n}": key, f"GIT_CONFIG_VALUE_{n}": value}
    return variables | {"GIT_CONFIG_COUNT": str(len(pairs))}


def _run(
    argv: Sequence[str | bytes],
    named: str,
    cwd: Path | None,
    environ: Mapping[str, str],
    source: bytes | IO[bytes] | None,
    sink: IO[bytes] | None,
    deadline_s: float,
    network: bool,
) -> GitResult:
    stdin = subprocess.PIPE if isinstance(source, bytes) else subprocess.DEVNULL if source is None else source
    try:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=dict(environ),
            stdin=stdin,
            stdout=subprocess.PIPE if sink is None else sink,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a group to kill, and no terminal on which ssh could ask
        )
    except FileNotFoundError as problem:
        if cwd is not None and not cwd.is_dir():
            raise explain(named, f"{cwd}: no such file or directory") from problem
        raise EnvironmentFailed(f"{named}: the program 'git' is not on PATH", remedy="install git", code="git-missing") from problem
    except OSError as problem:
        raise EnvironmentFailed(f"{named}: git could not be started: {problem}", remedy="see the reason given", code="git") from problem
    with _Pipes(process, source if isinstance(source, bytes) else None) as pipes:
        try:
            code = process.wait(timeout=max(deadline_s, 0.0))
        except subprocess.TimeoutExpired as problem:
            _kill(process)
            kind = RemoteUnreachable if network else EnvironmentFailed
            raise kind(f"{named}: no end after {deadline_s:.0f} s", remedy="try again, or allow more time", code="git-timeout") from problem
        except BaseException:  # ^C too: the program must not outlive us
            _kill(process)
            raise
        return pipes.result(code)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End git and all its children."""
    for number, grace_s in ((signal.SIGTERM, TERM_GRACE_S), (signal.SIGKILL, TERM_GRACE_S)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=grace_s)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


class _Pipes:
    """Feeds and drains the pipes of one process. Of stderr only the end is kept: a server may talk for ever."""

    def __init__(self, process: subprocess.Popen[bytes], source: bytes | None) -> None:
        self._process = process
        self._out = bytearray()
        self._err = bytearray()
        self._threads = [threading.Thread(target=self._drain_err, daemon=True)]
        if process.stdout is not None:
            self._threads.append(threading.Thread(target=self._drain_out, daemon=True))
        if source is not None:
            self._threads.append(threading.Thread(target=self._feed, args=(source,), daemon=True))

    def __enter__(self) -> "_Pipes":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join(PIPE_GRACE_S)
        if all(not thread.is_alive() for thread in self._threads):
            for pipe in (self._process.stdout, self._process.stderr):
                if pipe is not None:
                    pipe.close()

    def result(self, code: int) -> GitResult:
        for thread in self._threads:
            thread.join(PIPE_GRACE_S)
        return GitResult(bytes(self._out), bytes(self._err).decode("utf-8", "replace"), code)

    def _drain_out(self) -> None:
        assert self._process.stdout is not None
        while chunk := self._process.stdout.read(65536):
            self._out += chunk

    def _drain_err(self) -> None:
        assert self._process.stderr is not None
        while chunk := os.read(self._process.stderr.fileno(), 65536):
            self._err = (self._err + chunk)[-STDERR_MAX_BYTES:]

    def _feed(self, source: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(source)
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
