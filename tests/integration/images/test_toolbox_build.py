"""The toolbox as it is built on this machine: complete, shared, and safe against a second builder, a kill and a missing mirror."""

import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from orchestrator.errors import EnvironmentFailed
from orchestrator.harvest.request import PROGRAM
from orchestrator.images import elf, toolbox

PROGRAMS = {"launcher.py": b"print('launcher')\n", "harvest/__main__.py": b"print('harvest')\n"}


def quiet(line: str) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module", autouse=True)
def _needs_apt() -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip("the toolbox is built from Debian packages here: needs apt-get and dpkg-deb")


@pytest.fixture(scope="module")
def cache(test_cache: Path) -> Path:
    """A cache that is kept between test runs; its base tree is made by the first."""
    toolbox.ensure(test_cache, quiet, programs=PROGRAMS)
    return test_cache


def test_found_again(cache: Path) -> None:
    """A second call makes nothing and says nothing."""
    said: list[str] = []
    assert toolbox.ensure(cache, said.append, programs=PROGRAMS) == toolbox.ensure(cache, said.append, programs=PROGRAMS)
    assert said == []


def test_another_launcher_shares_the_big_part(cache: Path) -> None:
    """A changed launcher is another tree with the same files but one; the old tree, perhaps in use, is as it was."""
    before = toolbox.ensure(cache, quiet, programs=PROGRAMS)
    said: list[str] = []
    after = toolbox.ensure(cache, said.append, programs={**PROGRAMS, "launcher.py": b"print('newer')\n"})
    assert after != before
    assert said == []
    assert (after / "bin/python3").samefile(before / "bin/python3")
    assert (before / "lib/aienv/launcher.py").read_bytes() == PROGRAMS["launcher.py"]
    shutil.rmtree(after)


def test_nothing_can_be_written(cache: Path) -> None:
    """Every file is read-only, every folder closed to others, every link stays inside the tree."""
    tree = toolbox.ensure(cache, quiet, programs=PROGRAMS)
    for path in [tree, *tree.rglob("*")]:
        status = path.lstat()
        assert status.st_uid == os.geteuid()
        if path.is_symlink():
            assert path.resolve().is_relative_to(tree.resolve()), path
        else:
            assert status.st_mode & (0o222 if path.is_file() else 0o022) == 0, path
            assert status.st_mode & 0o444 == 0o444, path


def test_every_program_is_whole(cache: Path) -> None:
    """Each ELF file names our loader, and each library that any of them needs is there."""
    tree = toolbox.ensure(cache, quiet, programs=PROGRAMS)
    libraries = {path.name for path in (tree / "lib").iterdir()}
    seen = 0
    for path in tree.rglob("*"):
        if path.is_symlink() or not path.is_file() or not elf.is_elf(data := path.read_bytes()):
            continue
        seen += 1
        found = elf.parse(data)
        assert set(found.needed) <= libraries, path
        if path.parent.name == "bin":
            assert found.interpreter is not None
            assert found.interpreter[2] == "/opt/aienv/ld.so"
    assert seen > 20
    assert {"python3", "git", "bwrap"} <= {path.name for path in (tree / "bin").iterdir()}
    assert list(tree.glob("lib/python3*/__pycache__/socket.*.pyc"))
    assert list(tree.glob("lib/aienv/harvest/__pycache__/__main__.*.pyc"))


def test_own_programs() -> None:
    """The launcher and the gate, and the harvest program as a folder with all its modules; so each of them is part of the tree's key."""
    programs = toolbox.own_programs()
    modules = {f"harvest/{path.name}": path.read_bytes() for path in PROGRAM.rglob("*.py")}
    assert "harvest/__main__.py" in modules
    assert modules.items() < programs.items()
    ours = {"launcher.py", "prelude.py", "gate.py", "takeback.py", "orchestrator/__init__.py", "orchestrator/trees.py"}
    assert set(programs) - set(modules) == ours


def test_two_builders(tmp_path: Path, cache: Path) -> None:
    """Two first runs at once: one builds, the other waits and finds it."""
    said: list[str] = []
    trees: list[Path] = []
    threads = [threading.Thread(target=lambda: trees.append(toolbox.ensure(tmp_path, said.append, programs=PROGRAMS))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    assert len(trees) == 2
    assert trees[0] == trees[1]
    assert len([line for line in said if "fetching" in line]) == 1
    assert sorted(entry.name[:4] for entry in (tmp_path / "toolbox").iterdir()) == sorted(["base", trees[0].name[:4], "lock"])


def test_killed_builder(tmp_path: Path) -> None:
    """Whoever comes after a builder that was killed starts again and ends with a whole tree."""
    if (child := os.fork()) == 0:
        try:
            toolbox.ensure(tmp_path, quiet, programs=PROGRAMS)
        finally:
            os._exit(0)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("toolbox/new-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    tree = toolbox.ensure(tmp_path, quiet, programs=PROGRAMS)
    assert (tree / "lib/aienv/launcher.py").read_bytes() == PROGRAMS["launcher.py"]
    assert toolbox._run_inside(tree, ["-c", "print('whole')"]) == "whole\n"


def test_as_another_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No root is needed."""
    if os.geteuid() != 0:
        pytest.skip("the tests run as an ordinary user already; the others prove it")
    folder = Path("/tmp") / f"aienv-toolbox-{os.getpid()}"
    folder.mkdir(mode=0o755)
    os.chown(folder, 65533, 65533)
    try:
        if (child := os.fork()) == 0:
            code = 1
            try:
                os.setgroups([])
                os.setresgid(65533, 65533, 65533)
                os.setresuid(65533, 65533, 65533)
                tree = toolbox.ensure(folder, quiet, programs=PROGRAMS)
                code = 0 if (tree / "bin/python3").stat().st_uid == 65533 else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_no_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without apt and without an engine the way out is named."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFailed, match="no apt-get") as caught:
        toolbox.ensure(tmp_path / "cache", quiet, programs=PROGRAMS)
    assert caught.value.remedy == "let a Docker engine make it: aienv images build toolbox"


def test_package_server_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """apt's own words are in the error, and nothing half-made is left."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "apt-get").write_text("#!/bin/sh\necho 'E: Could not resolve host' >&2\nexit 100\n")
    (programs / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    with pytest.raises(EnvironmentFailed, match="Could not resolve host") as caught:
        toolbox.ensure(tmp_path / "cache", quiet, programs=PROGRAMS)
    assert "apt-get update" in str(caught.value.remedy)
    assert [entry.name for entry in (tmp_path / "cache/toolbox").iterdir()] == ["lock"]


def test_unused_trees_go(tmp_path: Path, cache: Path) -> None:
    """A tree that nobody asked for in two weeks goes when the next one is made; used ones stay."""
    home = tmp_path / "toolbox"
    home.mkdir()
    base = next(path for path in (cache / "toolbox").glob("base-*") if path.name == f"base-{toolbox._recipe()}")
    shutil.copytree(base, home / base.name, symlinks=True)
    old, used = home / "0123456789abcdef0123", home / "fedcba98765432100000"
    for folder in (old, used):
        folder.mkdir()
    month_ago = time.time() - 30 * 86400
    os.utime(old, (month_ago, month_ago))
    tree = toolbox.ensure(tmp_path, quiet, programs=PROGRAMS)
    assert not old.exists()
    assert used.exists()
    assert tree.exists()
