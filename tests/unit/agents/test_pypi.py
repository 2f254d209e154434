"""Python agents by a real pip, from a wheel of ours and without an index."""

import hashlib
import os
import platform
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.agents import install, pypi
from orchestrator.agents.lock import Lock, PypiPackage, dump
from orchestrator.errors import EnvironmentFailed
from orchestrator.model.agent import Profile, Program

TOOL = Profile("tool", "A tool", Program("pypi", "tiny-tool", "1.0", "tiny", runtime="python"), headless=("{prompt}",))

PROGRAM = """import sys

class Program:
    @staticmethod
    def main():
        print("tiny", *sys.argv)
        return 3
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    info = "tiny_tool-1.0.dist-info"
    files = {
        "tiny_tool.py": PROGRAM,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tiny-tool\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: ours\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\ntiny = tiny_tool:Program.main\n",
    }
    record = "".join(f"{name},,\n" for name in files) + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(folder / "tiny_tool-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(name, text)
    return folder


@pytest.fixture
def environ(tmp_path: Path, wheels: Path) -> Iterator[dict[str, str]]:
    found = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AIENV_HOME": str(tmp_path / "aienv"), "PIP_CONFIG_FILE": os.devnull}
    found |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    try:
        pypi.resolve(("tiny-tool",), found)
    except EnvironmentFailed as problem:
        pytest.skip(f"needs a python3 with pip: {problem.message[:200]}")
    yield found
    shutil.rmtree(tmp_path / "aienv", ignore_errors=True)


def lock(environ: dict[str, str], wheels: Path, **changes: str) -> Lock:
    """As it would be for this machine."""
    digest = hashlib.sha256((wheels / "tiny_tool-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    values = {"sha256": digest, "python": pypi.python_minor(environ), "machine": platform.machine()} | changes
    package = PypiPackage("tiny-tool", "1.0", values["sha256"])
    made = Lock("pypi", "tiny-tool", "1.0", pypi=(package,), python=values["python"], machine=values["machine"])
    path = install.user_lock("tool", environ)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(dump(made))
    return made


def ensure(environ: dict[str, str], profile: Profile = TOOL) -> tuple[install.Installed, list[str]]:
    said: list[str] = []
    cache = Path(environ["AIENV_HOME"], "cache")
    return install.ensure(profile, cache, environ, said.append, "container"), said


def test_install(environ: dict[str, str], wheels: Path) -> None:
    """One folder per minor version of Python; its script runs the console script with its own name and words, wherever it lies."""
    lock(environ, wheels)
    made, said = ensure(environ)
    minor = pypi.python_minor(environ)
    assert made.folder.name.startswith(f"tool-1.0-py{minor}-")
    assert (made.entry, made.version) == (("/opt/aienv-agents/tool/bin/tool",), "1.0")
    assert not any("digests" in line for line in said)
    assert all(not path.stat().st_mode & 0o222 for path in made.folder.rglob("*") if path.is_file())
    start = (made.folder / "start.py").read_text().replace("/opt/aienv-agents/tool", str(made.folder))
    done = subprocess.run([shutil.which(f"python{minor}") or "python3", "-c", start, "a b"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "tiny tiny a b\n")


def test_no_python_inside(environ: dict[str, str], wheels: Path, tmp_path: Path) -> None:
    """An environment without that Python is told so, as a shell tells of a missing program."""
    lock(environ, wheels)
    made, _ = ensure(environ)
    done = subprocess.run(["/bin/sh", made.folder / "bin/tool"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 127
    assert f"tool needs python{pypi.python_minor(environ)}, which this environment does not have" in done.stderr


def test_another_digest(environ: dict[str, str], wheels: Path) -> None:
    """pip refuses what is not the locked file, and nothing is left."""
    lock(environ, wheels, sha256="0" * 64)
    with pytest.raises(EnvironmentFailed, match="ended with 1"):
        ensure(environ)
    assert [path.name for path in Path(environ["AIENV_HOME"], "cache/agents").iterdir()] == ["locks"]


def test_another_machine(environ: dict[str, str], wheels: Path) -> None:
    """The digests of another Python's wheels do not hold here: the versions do, and the user is told."""
    lock(environ, wheels, python="3.4", sha256="0" * 64)
    made, said = ensure(environ)
    assert made.folder.is_dir()
    assert any("only versions are checked" in line for line in said)


def test_no_such_program(environ: dict[str, str], wheels: Path) -> None:
    lock(environ, wheels)
    with pytest.raises(EnvironmentFailed, match="no program 'other'"):
        ensure(environ, replace(TOOL, program=replace(TOOL.program, entry="other")))
