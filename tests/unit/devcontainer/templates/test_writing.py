"""Files into a folder: all or none, and never through a link."""

import os
import resource
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.devcontainer.templates import writing
from orchestrator.devcontainer.templates.content import File
from orchestrator.devcontainer.templates.writing import write
from orchestrator.errors import AienvError, ConfigError, EnvironmentFailed, UsageError

FILES = {"run.sh": File(b"new", executable=True), ".devcontainer/devcontainer.json": File(b"{}"), ".devcontainer/a/b/c": File(b"c")}


def contents(folder: Path) -> dict[str, object]:
    """Everything below, links not followed."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def test_into_an_empty_folder(tmp_path: Path) -> None:
    write(tmp_path, FILES, force=False)
    assert contents(tmp_path) == {
        ".devcontainer": None, ".devcontainer/a": None, ".devcontainer/a/b": None, ".devcontainer/a/b/c": b"c",
        ".devcontainer/devcontainer.json": b"{}", "run.sh": b"new",
    }  # fmt: skip
    assert stat.S_IMODE((tmp_path / "run.sh").stat().st_mode) & 0o111
    assert not stat.S_IMODE((tmp_path / ".devcontainer/devcontainer.json").stat().st_mode) & 0o111


def test_beside_other_files(tmp_path: Path) -> None:
    """In folders that are there; what nobody asked about stays, and the project's folder may itself be a link."""
    (tmp_path / "p/.devcontainer").mkdir(parents=True)
    (tmp_path / "p/.devcontainer/mine").write_text("mine")
    (tmp_path / "link").symlink_to("p")
    write(tmp_path / "link", FILES, force=False)
    assert (tmp_path / "p/.devcontainer/mine").read_text() == "mine"
    assert (tmp_path / "p/.devcontainer/devcontainer.json").read_text() == "{}"


def test_a_file_is_there(tmp_path: Path) -> None:
    """One is enough, and then nothing is written; by force it is."""
    (tmp_path / ".devcontainer").mkdir()
    (tmp_path / ".devcontainer/devcontainer.json").write_text("old")
    before = contents(tmp_path)
    with pytest.raises(UsageError, match=r"there already: \.devcontainer/devcontainer\.json; nothing was written"):
        write(tmp_path, FILES, force=False)
    assert contents(tmp_path) == before
    write(tmp_path, FILES, force=True)
    assert contents(tmp_path)[".devcontainer/devcontainer.json"] == b"{}"
    assert not [name for name in os.listdir(tmp_path) if name.startswith(writing.SCRATCH)]


def link_to_folder(root: Path, outside: Path) -> None:
    (root / ".devcontainer").symlink_to(outside)


def link_below(root: Path, outside: Path) -> None:
    (root / ".devcontainer").mkdir()
    (root / ".devcontainer/a").symlink_to(outside)


def link_to_file(root: Path, outside: Path) -> None:
    (root / "run.sh").symlink_to(outside / "file")


def link_to_nothing(root: Path, outside: Path) -> None:
    (root / "run.sh").symlink_to(outside / "absent")


def file_for_folder(root: Path, outside: Path) -> None:
    (root / ".devcontainer").write_text("file")


def folder_for_file(root: Path, outside: Path) -> None:
    (root / "run.sh").mkdir()


def pipe(root: Path, outside: Path) -> None:
    os.mkfifo(root / "run.sh")


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("obstacle", [link_to_folder, link_below, link_to_file, link_to_nothing, file_for_folder, folder_for_file, pipe])
def test_in_the_way(obstacle: Callable[[Path, Path], None], force: bool, tmp_path: Path) -> None:
    """What a hostile repository may have put there; force does not help."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "file").write_text("theirs")
    obstacle(root, outside)
    before = sorted(os.listdir(root))
    with pytest.raises(UsageError, match="nothing was written"):
        write(root, FILES, force=force)
    assert sorted(os.listdir(root)) == before
    assert contents(outside) == {"file": b"theirs"}


@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("last", range(3))
def test_undone(last: int, problem: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something goes wrong at each of the files: all is as it was."""
    (tmp_path / ".devcontainer").mkdir()
    (tmp_path / ".devcontainer/devcontainer.json").write_text("old")
    before, real = contents(tmp_path), os.rename

    def rename(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        if source == f"new{last}":
            raise problem
        real(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(KeyboardInterrupt if isinstance(problem, KeyboardInterrupt) else EnvironmentFailed):
        write(tmp_path, FILES, force=True)
    assert contents(tmp_path) == before


def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on some mounted file systems."""

    def link(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    (tmp_path / "run.sh").write_text("old")
    write(tmp_path, FILES, force=True)
    assert (tmp_path / "run.sh").read_text() == "new"


def test_the_folder_is_closed(tmp_path: Path) -> None:
    """Or not there at all."""
    with pytest.raises(EnvironmentFailed, match="cannot write into"):
        write(tmp_path / "absent", FILES, force=False)


def test_paths_are_looked_at(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        write(tmp_path, {"../x": File(b"")}, force=True)


def test_many_folders(tmp_path: Path) -> None:
    """More than a process may have open is an error of ours, and leaves nothing."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, limits[1]))
    try:
        with pytest.raises(AienvError):
            write(tmp_path, {f"d{number}/f": File(b"") for number in range(200)}, force=False)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert contents(tmp_path) == {}


def test_killed(tmp_path: Path) -> None:
    """At any moment: each file is whole, the old one or the new one; the next one to write does."""
    program = (
        "import sys; from pathlib import Path\n"
        "from orchestrator.devcontainer.templates.writing import File, write\n"
        "while True:\n"
        "    for letter in b'ab':\n"
        "        write(Path(sys.argv[1]), {f'd/{n}': File(bytes([letter]) * 50000) for n in range(20)}, force=True)\n"
        "        print(letter, flush=True)\n"
    )
    root = tmp_path / "p"
    root.mkdir()
    write(root, {f"d/{number}": File(b"a" * 50000) for number in range(20)}, force=False)
    for number in range(6):
        with subprocess.Popen([sys.executable, "-c", program, root], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stdout.readline()
            time.sleep(number / 300)
            child.kill()
        whole = [(root / f"d/{number}").read_bytes() for number in range(20)]
        assert {(len(set(data)), len(data)) for data in whole} == {(1, 50000)}
        assert {path.name for path in (root / "d").iterdir()} == {str(number) for number in range(20)}
    write(root, {f"d/{number}": File(b"c") for number in range(20)}, force=True)
