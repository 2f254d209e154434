"""Each test has its own home, its own user configuration and its own cache."""

from pathlib import Path

import pytest

from tests.integration.repos.support import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        '[user]\n\tname = A User\n\temail = user@example.org\n[protocol "file"]\n\tallow = always\n[safe]\n\tdirectory = *\n'
    )
    for name in ("GIT_CONFIG_GLOBAL", "GIT_DIR", "GIT_SSH_COMMAND", "GIT_ASKPASS", "SSH_ASKPASS", "SSH_AUTH_SOCK", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AIENV_HOME", str(home / "aienv"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return World(tmp_path)
