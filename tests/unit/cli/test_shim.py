"""Shims: what stands in them, where they go, and what they never touch."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from orchestrator.cli.shim import MARK, agent_of, install, is_ours, listed, path_hint, program, shim_text
from orchestrator.errors import ConfigError, EnvironmentFailed, UsageError


@pytest.mark.parametrize("words", [("/usr/bin/aienv",), ("/opt/my tools/aienv",), ("/usr/bin/python3", "-c", "print('a b')")])
def test_the_script_hands_every_word_over(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Blanks, quotes, options and ``--`` of the user's, by a real shell."""
    echo = tmp_path / "echo"
    echo.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    echo.chmod(0o755)
    script = tmp_path / "claude-box"
    script.write_text(shim_text("claude", (str(echo), *words)))
    call = ["/bin/sh", str(script), "-p", "a 'b\" $c", "--", "--json"]
    done = subprocess.run(call, capture_output=True, text=True, timeout=10, check=True)
    assert done.stdout == "|".join([*words, "box", "claude", "--", "-p", "a 'b\" $c", "--", "--json", ""])


@pytest.mark.parametrize(("name", "agent"), [("claude", "claude"), ("codex-box", "codex"), ("mini-swe-agent-box", "mini-swe-agent")])
def test_names(name: str, agent: str) -> None:
    """With and without the ending."""
    assert agent_of(name) == agent


@pytest.mark.parametrize("name", ["", "-box", "../x", "a/b", "Claude", "a b", "-x", "a\n", "x" * 40])
def test_wrong_names(name: str) -> None:
    """They become names of files."""
    with pytest.raises(UsageError, match="not the name of an agent"):
        agent_of(name)


def test_who_is_called(tmp_path: Path) -> None:
    """The program by its path, where there is one; else Python."""
    (tmp_path / "aienv").write_text("")
    assert program(str(tmp_path / "aienv"), ("python", "-c")) == ("python", "-c")
    (tmp_path / "aienv").chmod(0o755)
    assert program(str(tmp_path / "aienv"), ("python", "-c")) == (str(tmp_path / "aienv"),)
    assert program("-c", ("python", "-c")) == ("python", "-c")


def test_installed_and_listed(tmp_path: Path) -> None:
    """Executable, listed, replaced by a newer one; nothing else lies there."""
    folder = tmp_path / "new" / "bin"
    for text in ("old", "new"):
        done = install(folder, ["claude", "codex"], {name: shim_text(name, (text,)) for name in ("claude", "codex")})
        assert [(shim.name, shim.ours) for shim in done] == [("claude-box", True), ("codex-box", True)]
    assert "exec new box" in (folder / "claude-box").read_text()
    assert stat.S_IMODE((folder / "claude-box").stat().st_mode) & 0o111
    assert [shim.agent for shim in listed(folder)] == ["claude", "codex"]
    assert sorted(os.listdir(folder)) == ["claude-box", "codex-box"]


@pytest.mark.parametrize("kind", ["script", "folder", "link", "dangling", "binary"])
def test_what_is_not_ours_stays(tmp_path: Path, kind: str) -> None:
    """Refused, and none of the others is written."""
    place = tmp_path / "codex-box"
    other = tmp_path / "other"
    other.write_text(shim_text("codex", ("aienv",)))
    if kind == "script":
        place.write_text(f"#!/bin/sh\n# mine\n{MARK}: not at the beginning\n")
    elif kind == "folder":
        place.mkdir()
    elif kind == "binary":
        place.write_bytes(b"\x7fELF\xff")
    else:
        place.symlink_to(other if kind == "link" else tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="not ours"):
        install(tmp_path, ["claude", "codex"], {name: shim_text(name, ("aienv",)) for name in ("claude", "codex")})
    assert not (tmp_path / "claude-box").exists()
    assert not is_ours(place)
    assert listed(tmp_path) == []
    assert os.path.lexists(place)


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    """Said in words."""
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFailed, match="cannot be written"):
        install(tmp_path / "file", ["claude"], {"claude": "x"})


def test_the_hint(tmp_path: Path) -> None:
    """Only where the shell would not find them."""
    assert path_hint(tmp_path, {"PATH": f"/bin:{tmp_path}/"}) is None
    assert f"export PATH={tmp_path}" in str(path_hint(tmp_path, {"PATH": "/bin"}))
    assert path_hint(tmp_path, {}) is not None
