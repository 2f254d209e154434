"""The ways to an engine that are measured and attacked: its own socket, haproxy with a socket proxy's configuration, aienv's guard."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.engine import Engine
from tests.guardian import guarding

START_S = 20.0

# What docker-socket-proxy's switches amount to when everything that clients need is switched on: paths by prefix, writes by one switch.
HAPROXY = """
global
    log stdout format raw daemon warning
defaults
    mode http
    timeout connect 10s
    timeout client 10m
    timeout server 10m
    timeout tunnel 1h
frontend clients
    bind unix@{socket} mode 666
    {rules}
    http-request deny
    default_backend engine
backend engine
    server engine unix@{engine}
"""
SECTIONS = ("_ping", "version", "events", "info", "containers", "images", "networks", "volumes", "exec", "build", "commit", "system")
ALLOWED = "http-request allow if {{ path,url_dec -m reg -i ^(/v[\\d\\.]+)?/{section} }}"


@dataclass(frozen=True)
class Way:
    name: str
    socket: str
    pid: int


@contextlib.contextmanager
def program(argv: Sequence[str], path: Path, log: Path, **environ: str) -> Iterator[int]:
    """A proxy that makes the socket ``path``, for as long as the block runs; its pid."""
    with open(log, "wb") as errors:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, env={**os.environ, **environ})
    try:
        limit = time.monotonic() + START_S
        while not _listens(path):
            if process.poll() is not None or time.monotonic() > limit:
                sys.exit(f"bench: {argv[0]} did not start: {log.read_text(errors='replace')[-1500:]}")
            time.sleep(0.02)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(START_S)


def _listens(path: Path) -> bool:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe, contextlib.suppress(OSError):
        probe.connect(str(path))
        return True
    return False


@contextlib.contextmanager
def haproxy(engine: Engine) -> Iterator[Way]:
    if shutil.which("haproxy") is None:
        sys.exit("bench: haproxy is not installed (Debian: apt install haproxy)")
    with tempfile.TemporaryDirectory(prefix="aienv-haproxy-", dir="/tmp") as folder:
        path, rules = Path(folder) / "docker.sock", "\n    ".join(ALLOWED.format(section=section) for section in SECTIONS)
        text = HAPROXY.format(socket=path, engine=engine.root / "engine.sock", rules=rules)
        (Path(folder) / "haproxy.cfg").write_text(text)
        with program(("haproxy", "-db", "-f", f"{folder}/haproxy.cfg"), path, Path(folder) / "log") as pid:
            yield Way("haproxy", str(path), pid)


@contextlib.contextmanager
def guard(engine: Engine, project: Path, *words: str) -> Iterator[Way]:
    with guarding(engine, project, *words) as found:
        assert found.process is not None
        yield Way("guard", str(found.socket), found.process.pid)


def peak_mib(pid: int) -> float:
    """The most memory that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))) / 1024
