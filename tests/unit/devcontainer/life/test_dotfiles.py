"""The script that puts a user's dotfiles into a container."""

import subprocess
from pathlib import Path

import pytest

from orchestrator.devcontainer.life.session import _DOTFILES


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "dots"
    folder.mkdir()
    (folder / "mine.sh").write_text('#!/bin/sh\necho "$PWD" "$0" "$@" >"$OUT"\n')  # not executable
    git = ("git", "-c", "user.name=u", "-c", "user.email=u@localhost")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "dots")):
        subprocess.run([*git, *words], cwd=folder, check=True)
    return folder


@pytest.mark.parametrize(("command", "said"), [
    ("mine.sh", "./mine.sh"), ("./mine.sh", "././mine.sh"), ("{target}/mine.sh", "{target}/mine.sh"), ("sh ./mine.sh x", "./mine.sh x"),
])  # fmt: skip
def test_the_command_is_a_file_from_anywhere_or_a_line(repository: Path, tmp_path: Path, command: str, said: str) -> None:
    target, out = tmp_path / "home/dotfiles", tmp_path / "out"
    words = ("/bin/sh", "-c", _DOTFILES, "sh", str(repository), str(target), command.format(target=target))
    done = subprocess.run(words, env={"PATH": "/usr/bin:/bin", "OUT": str(out)}, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert out.read_text() == f"{target} {said.format(target=target)}\n"
