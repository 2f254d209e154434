"""A killed command leaves nothing that the next ``aienv gc`` does not find."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.model.paths import Paths, paths_from
from orchestrator.repos.scratch import scratch, sweep_temporary
from tests.integration.repos.support import Repo, World, lfs_pointer, new_repo

# A git that kills whoever started it when it is asked for one command.
KILLER = """#!/bin/sh
for word in "$@"; do
    if [ "$word" = "{at}" ]; then kill -9 $PPID; exit 1; fi
done
PATH='{plain}'
exec git "$@"
"""
CAPTURE = """
from pathlib import Path
from orchestrator.repos.changes import capture
from orchestrator.repos.source import parse_source
capture(parse_source("app", Path.cwd()))
"""
APPLY = """
from pathlib import Path
from orchestrator.harvest.apply import apply
apply(Path("run"), Path("app"))
"""
CLONE = """
from pathlib import Path
from tests.integration.repos.support import World
World(Path.cwd()).clone(Path("app").absolute())
"""


@pytest.fixture
def paths(world: World) -> Paths:
    return paths_from(os.environ)


@pytest.mark.parametrize(
    ("script", "at", "leaves"),
    [
        pytest.param(CAPTURE, "update-index", ["index"], id="capture"),
        pytest.param(APPLY, "apply", ["apply"], id="apply"),
        pytest.param(CLONE, "--refresh", [], id="clone-with-large-files"),
        pytest.param(CAPTURE, "no-such-command", [], id="not-killed"),
    ],
)
def test_a_killed_command(world: World, paths: Paths, script: str, at: str, leaves: list[str]) -> None:
    """Nothing stays in the system's folder for temporary files; what stays in ours is swept."""
    repo = new_repo(world.base / "app")
    content = b"large"
    oid, pointer = lfs_pointer(content)
    repo.write(".gitattributes", "*.bin filter=lfs -text\n")
    repo.commit("large", **{"x.bin": pointer})
    repo.write(f".git/lfs/objects/{oid[:2]}/{oid[2:4]}/{oid}", content)
    (world.base / "run").mkdir()
    (world.base / "run" / "result.patch").write_text("--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+x\n")
    system, tools = world.base / "system", world.base / "bin"
    system.mkdir()
    tools.mkdir()
    plain, top = os.environ["PATH"], Path(__file__).resolve().parents[3]
    (tools / "git").write_text(KILLER.format(at=at, plain=plain))
    (tools / "git").chmod(0o755)
    env = {**os.environ, "PATH": f"{tools}:{plain}", "TMPDIR": str(system), "PYTHONPATH": str(top)}
    done = subprocess.run((sys.executable, "-c", script), cwd=world.base, env=env, capture_output=True, timeout=120, check=False)
    assert done.returncode == (0 if at == "no-such-command" else -signal.SIGKILL), done.stderr.decode()
    assert list(system.iterdir()) == []
    left = [folder.name for folder in paths.tmp.iterdir()] if paths.tmp.exists() else []
    assert [name.split("-")[0] for name in left] == leaves
    assert sweep_temporary(paths, dry_run=True) == tuple(left)
    assert sweep_temporary(paths) == tuple(left)
    assert sweep_temporary(paths) == ()
    assert not paths.tmp.exists() or list(paths.tmp.iterdir()) == []


def test_what_is_in_use_stays(paths: Paths) -> None:
    """A sweep leaves alone what a command holds, and what is no folder."""
    with scratch("one") as one, scratch("two") as two:
        (one / "file").write_text("x")
        (paths.tmp / "stray").write_text("x")
        (paths.tmp / "link").symlink_to(two)
        assert sweep_temporary(paths) == ()
        assert (one / "file").exists()
        assert str(os.getpid()) in one.name
        assert one.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in paths.tmp.iterdir()) == ["link", "stray"]


def test_nothing_to_sweep(paths: Paths) -> None:
    assert sweep_temporary(paths) == ()


def test_large_files_below_a_folder_with_a_percent_sign(world: World) -> None:
    """The pointers lie in the run's own git folder, whose name git must not take for a placeholder."""
    odd = World(world.base / "100%f %%")
    repo = new_repo(odd.base / "app")
    oid, pointer = lfs_pointer(b"large")
    repo.write(".gitattributes", "*.bin filter=lfs -text\n")
    repo.commit("large", **{"x.bin": pointer})
    repo.write(f".git/lfs/objects/{oid[:2]}/{oid[2:4]}/{oid}", b"large")
    clone = odd.clone(repo.path)
    assert clone.checkout.lfs_files == ("x.bin",)
    assert (clone.path / "x.bin").read_bytes() == b"large"
    assert Repo(clone.path).git("diff-files") == ""
    assert not (clone.path / ".git" / "aienv-pointers").exists()
