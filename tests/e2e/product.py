"""The command as its users have it: a process of its own, with an environment of its own."""

# ruff: noqa: E501 - a row of a table stays one line

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from orchestrator.__main__ import main; main()"
DEADLINE_S = 120.0

REPORT_MEMBERS: Mapping[str, type | tuple[type, ...]] = {
    "schema": str,
    "id": str,
    "task": str,
    "status": str,
    "exit_code": (int, type(None)),
    "backend": str,
    "isolation": str,
    "plan_digest": str,
    "repo": str,
    "base_commit": (str, type(None)),
    "result": dict,
    "checks": list,
    "network": dict,
    "docker": dict,
    "audit": dict,
    "timings": dict,
    "teardown": dict,
    "error": (dict, type(None)),
}
RESULT_MEMBERS: Mapping[str, type | tuple[type, ...]] = {
    "commit": (str, type(None)),
    "branch": (str, type(None)),
    "bundle": (str, type(None)),
    "patch": (str, type(None)),
    "changed_files": list,
    "uncommitted": bool,
}


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        return self.stdout.decode()

    @property
    def errors(self) -> str:
        return self.stderr.decode("utf-8", "backslashreplace")

    @property
    def document(self) -> Any:
        """Standard output as exactly one JSON document."""
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Aienv:
    """``aienv`` with its state in ``home``. ``options``: what every ``run`` gets, such as the backend."""

    home: Path
    environ: Mapping[str, str]
    options: tuple[str, ...] = ()
    python: tuple[str, ...] = (sys.executable,)
    prefix: tuple[str, ...] = ()
    cwd: Path = field(default_factory=Path.cwd)

    def command(self, *words: str) -> list[str]:
        return [*self.prefix, *self.python, "-c", BOOT, str(ROOT), *words]

    def __call__(self, *words: str, cwd: Path | None = None, input: bytes = b"", env: Mapping[str, str] | None = None) -> Done:
        done = subprocess.run(
            self.command(*words), cwd=cwd or self.cwd, input=input, capture_output=True, timeout=DEADLINE_S, check=False,
            env={**self.environ, **(env or {})},
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def run(self, *words: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Done:
        return self("run", *self.options, *words, cwd=cwd, env=env)

    def report(self, *words: str, cwd: Path | None = None) -> Any:
        """Run with ``--json``; the report."""
        return self.run("--json", *words, cwd=cwd).document

    def start(
        self, *words: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, **streams: Any
    ) -> "subprocess.Popen[bytes]":
        """``run`` in the background, in a session of its own."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
        return subprocess.Popen(
            self.command("run", *self.options, *words),
            cwd=cwd or self.cwd,
            env={**self.environ, **(env or {})},
            start_new_session=True,
            **options,
        )

    def runs(self) -> list[Any]:
        rows: list[Any] = self("ps", "--all", "--json").document
        return rows


def end(process: "subprocess.Popen[bytes]") -> Done:
    """Wait for a command that was started; one that hangs is killed, with its broker and launcher left to their own rules."""
    try:
        stdout, stderr = process.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return Done(process.returncode, stdout or b"", stderr or b"")


def read_until(process: "subprocess.Popen[bytes]", word: bytes) -> bytes:
    """Standard output up to and with a line that holds ``word``."""
    assert process.stdout is not None
    seen = b""
    for line in iter(process.stdout.readline, b""):
        seen += line
        if word in line:
            return seen
    raise AssertionError(f"{word!r} never came, but {seen!r} and {process.stderr.read() if process.stderr else b''!r}")


def git(*words: str, cwd: Path, check: bool = True) -> str:
    """The git program, with no configuration of this machine."""
    environ = {
        "PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "ann@example.org", "GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": "ann@example.org",
    }  # fmt: skip
    done = subprocess.run(
        ["git", "-c", "init.defaultBranch=main", "-c", "safe.directory=*", *words],
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not check or done.returncode == 0, f"git {words}: {done.stderr}"
    return done.stdout


def commit(repo: Path, files: Mapping[str, str | bytes], message: str = "more") -> str:
    """Write files and commit them; the commit."""
    for name, content in files.items():
        path = repo / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    git("add", "-A", cwd=repo)
    git("commit", "-q", "-m", message, cwd=repo)
    return git("rev-parse", "HEAD", cwd=repo).strip()


def make_repository(path: Path, files: Mapping[str, str | bytes] | None = None) -> Path:
    """A repository with one commit."""
    path.mkdir(parents=True)
    git("init", "-q", cwd=path)
    commit(path, files or {"README": "hello\n", "src/a.py": "print(1)\n"}, "first")
    return path


def branches(repo: Path) -> list[str]:
    return git("branch", "--format=%(refname:short)", "--list", "aienv/*", cwd=repo).split()


def check_members(document: Any, members: Mapping[str, type | tuple[type, ...]]) -> None:
    """Each member is there, with one of its types."""
    wrong = {
        name: type(document.get(name, KeyError)).__name__
        for name, kind in members.items()
        if not isinstance(document.get(name, KeyError), kind)
    }
    assert not wrong, wrong


def processes_with(text: str) -> Sequence[str]:
    """Command lines of living processes that hold ``text``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if text in line:
                found.append(line)
    return found
