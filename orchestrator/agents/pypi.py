"""Agents that are Python packages: pip puts them into one folder, wheels only, so that nothing of them runs here.

Their wheels are for one minor version of Python: the host's ``python3``. Inside, a small script looks for the same.
"""

import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.agents.lock import Lock
from orchestrator.errors import EnvironmentFailed
from orchestrator.model.agent import AGENTS_INSIDE, Program

PIP_S = 1800.0
_ASK_S = 30.0
_MINOR = re.compile(r"3\.[0-9]{1,2}", re.ASCII)

_SCRIPT = """#!/bin/sh
python=$(command -v python{minor}) || {{
    echo "{name} needs python{minor}, which this environment does not have: take an image with it, or another agent" >&2
    exit 127
}}
exec "$python" {inside}/start.py "$@"
"""
_START = """import site
import sys

sys.path[0] = {site!r}
site.addsitedir({site!r})
sys.argv[0] = {name!r}
from {module} import {attribute} as program

sys.exit({call}())
"""


def python_minor(environ: Mapping[str, str]) -> str:
    """``3.11``: that of the host's ``python3``, which a sandbox on the host has, too.

    Raises:
        EnvironmentFailed: there is none.
    """
    program = _system_python(environ)
    found = _ran([program, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], environ, _ASK_S).strip() if program else ""
    if not _MINOR.fullmatch(found):
        remedy = "install python3, or use an agent that needs none"
        raise EnvironmentFailed("this machine has no python3", remedy=remedy, code="agent-python")
    return found


def _system_python(environ: Mapping[str, str]) -> str | None:
    """The system's own before those of version managers and virtual environments, which a sandbox may not see."""
    return shutil.which("python3", path="/usr/bin:/usr/local/bin") or shutil.which("python3", path=environ.get("PATH", os.defpath))


def install(name: str, program: Program, lock: Lock, target: Path, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """The lock's packages into ``target/site``, and ``target/bin/NAME`` that starts the program.

    Raises:
        EnvironmentFailed: pip is missing or fails, or there is no such program in the packages.
    """
    minor = python_minor(environ)
    exact = (minor, platform.machine()) == (lock.python, lock.machine)
    if not exact:
        say(f"{name}: its lock has digests for python{lock.python} on {lock.machine}; here only versions are checked")
    wanted = target / "requirements.txt"
    wanted.write_text("".join(f"{one.name}=={one.version}" + f" --hash=sha256:{one.sha256}" * exact + "\n" for one in lock.pypi))
    say(f"{name} {lock.version}: installing {len(lock.pypi)} Python packages with pip")
    pip = _pip(environ)
    _ran(
        [
            *pip, "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:",
            *(("--require-hashes",) if exact else ()), f"--python-version={minor}", f"--target={target / 'site'}",
            f"--requirement={wanted}",
        ],
        environ,
        PIP_S,
    )  # fmt: skip
    _write_start(name, program, target, minor)


def _write_start(name: str, program: Program, target: Path, minor: str) -> None:
    inside = f"{AGENTS_INSIDE}/{name}"
    module, attribute = _entry_point(target / "site", program.entry)
    first, *rest = attribute.split(".")
    call = ".".join(["program", *rest])
    (target / "start.py").write_text(_START.format(site=f"{inside}/site", name=program.entry, module=module, attribute=first, call=call))
    (target / "bin").mkdir()
    script = target / "bin" / name
    script.write_text(_SCRIPT.format(minor=minor, name=name, inside=inside))
    script.chmod(0o755)


def _entry_point(site: Path, wanted: str) -> tuple[str, str]:
    """Module and attribute of the console script ``wanted``."""
    for distribution in importlib.metadata.distributions(path=[str(site)]):
        for point in distribution.entry_points:
            if point.group == "console_scripts" and point.name == wanted and re.fullmatch(r"[\w.]+:[\w.]+", point.value, re.ASCII):
                return point.module, point.attr
    raise EnvironmentFailed(f"its packages have no program {wanted!r}", remedy="correct 'entry' in its profile", code="agent-install")


def resolve(packages: tuple[str, ...], environ: Mapping[str, str]) -> tuple[dict[str, object], str]:
    """pip's report on what it would install, and for which minor version of Python.

    Raises:
        EnvironmentFailed: pip is missing, or fails.
    """
    minor = python_minor(environ)
    text = _ran(
        [
            *_pip(environ), "install", "--quiet", "--no-input", "--disable-pip-version-check", "--dry-run", "--ignore-installed",
            "--only-binary=:all:", f"--python-version={minor}", "--target=/nonexistent", "--report=-", *packages,
        ],
        environ,
        PIP_S,
    )  # fmt: skip
    return json.loads(text), minor


def _pip(environ: Mapping[str, str]) -> list[str]:
    for program in dict.fromkeys((_system_python(environ), shutil.which("python3", path=environ.get("PATH", os.defpath)), sys.executable)):
        if program:
            try:
                _ran([program, "-m", "pip", "--version"], environ, _ASK_S)
            except EnvironmentFailed:
                continue
            return [program, "-m", "pip"]
    remedy = "install it: apt-get install python3-pip"
    raise EnvironmentFailed("this machine has no pip for its python3", remedy=remedy, code="agent-python")


def _ran(argv: list[str], environ: Mapping[str, str], timeout_s: float) -> str:
    """Somewhere where nothing of the project lies: Python looks for modules in the current folder."""
    clean = {name: value for name, value in environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run(
            argv, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False,
            env=clean,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise EnvironmentFailed(f"{argv[0]} could not be run: {problem}", code="agent-python") from problem
    if done.returncode != 0:
        last = done.stderr.strip()[-600:]
        raise EnvironmentFailed(
            f"{' '.join(argv[:4])} ended with {done.returncode}: {last}",
            remedy="see that pip's index can be reached: pip config list",
            code="agent-python",
        )
    return done.stdout
