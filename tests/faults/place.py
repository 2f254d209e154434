"""Helpers of the fault tests: git with an identity, aienv as a process."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
IDENTITY = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org"}


def git(path: Path, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=path, check=True, capture_output=True, text=True, env={**os.environ, **IDENTITY}, timeout=60)
    return done.stdout


def start(home: Path, cwd: Path, *args: str, **extra: str) -> "subprocess.Popen[str]":
    environ = {**os.environ, "AIENV_HOME": str(home), "PYTHONPATH": str(ROOT), **extra}
    command = [sys.executable, "-m", "orchestrator", *args]
    return subprocess.Popen(command, cwd=cwd, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def aienv(
    home: Path, cwd: Path, *args: str, meanwhile: Callable[[], None] = lambda: None, **extra: str
) -> "subprocess.CompletedProcess[str]":
    """Run aienv to its end. ``meanwhile`` is called again and again until then, from this thread."""
    process = start(home, cwd, *args, **extra)
    with ThreadPoolExecutor(1) as reader:
        said = reader.submit(process.communicate)
        end = time.monotonic() + 180
        while not said.done():
            if time.monotonic() > end:
                process.kill()
                raise TimeoutError(f"aienv {args} does not end")
            meanwhile()
            time.sleep(0.02)
    out, err = said.result()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def use_cache(tmp_path: Path, cache: Path) -> None:
    """Let ``tmp_path/home`` have what ``cache`` has, so that no test builds it again."""
    (tmp_path / "home" / "cache").mkdir(parents=True)
    for entry in cache.iterdir():
        (tmp_path / "home" / "cache" / entry.name).symlink_to(entry)
