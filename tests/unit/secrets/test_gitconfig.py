"""Git's configuration inside: a header for each named repository, and nothing for its neighbours."""

import base64
import os
import subprocess
from pathlib import Path

import pytest

from orchestrator.model.network import GitRepo, Phase
from orchestrator.secrets.gitconfig import GitSecret, git_environment, git_settings

STAND_IN = "ghp_" + "x9" * 18
SECRET = GitSecret("GITHUB_TOKEN", STAND_IN, ("api.github.com", "github.com"), ("agent", "check"))
APP = GitRepo("github.com", "team/app", True)


def ask_git(settings: tuple[tuple[str, str], ...], key: str, url: str, folder: Path) -> list[str]:
    """What git itself finds for an address."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", **dict(git_environment(settings))}
    done = subprocess.run(
        ("git", "config", "--get-urlmatch", key, url), env=environ, cwd=folder, capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout.splitlines()


def header(user: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"{user}:{STAND_IN}".encode()).decode()


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://github.com/team/app", True),
        ("https://github.com/team/app.git", True),
        ("https://github.com/team/app.git/info/refs", True),
        ("https://github.com/team/app/info/refs", True),
        ("https://github.com/team/application", False),
        ("https://github.com/team/app2.git", False),
        ("https://github.com/team", False),
        ("https://github.com/other/app.git", False),
        ("https://evil.example.org/team/app.git", False),
        ("http://github.com/team/app.git", False),
        ("https://github.com:8443/team/app.git", False),
    ],
)
def test_where_the_header_goes(url: str, found: bool, tmp_path: Path) -> None:
    """To the repository on the list, asked of git itself; not to another, another host, port or scheme."""
    settings = git_settings([APP], [SECRET], "agent")
    assert ask_git(settings, "http.extraHeader", url, tmp_path) == ([header("x-access-token")] if found else [])


@pytest.mark.parametrize(
    ("host", "user"),
    [
        ("github.com", "x-access-token"),
        ("gitlab.com", "oauth2"),
        ("gitlab.example.org:8443", "oauth2"),
        ("bitbucket.org", "x-token-auth"),
        ("git.example.org", "x-access-token"),
        ("notgitlab.example.org", "x-access-token"),
    ],
)
def test_user_names(host: str, user: str) -> None:
    """Each server's own custom."""
    settings = git_settings([GitRepo(host, "a/b", False)], [GitSecret("T", STAND_IN, (host,), ("agent",))], "agent")
    assert (f"http.https://{host}/a/b.git.extraHeader", header(user)) in settings


@pytest.mark.parametrize(
    ("secret", "phase"),
    [
        pytest.param(SECRET, "setup", id="phase"),
        pytest.param(GitSecret("T", STAND_IN, ("gitlab.com",), ("agent",)), "agent", id="host"),
        pytest.param(GitSecret("T", STAND_IN, ("github.com:8443",), ("agent",)), "agent", id="port"),
    ],
)
def test_no_secret_no_settings(secret: GitSecret, phase: Phase) -> None:
    """A repository without a credential in this phase is configured in no way."""
    assert git_settings([APP], [secret], phase) == ()
    assert git_environment(()) == ()


def test_variables(tmp_path: Path) -> None:
    """Counted from zero, and read by git; what a file says for the same address does not come on top; the proxy is the one given."""
    (tmp_path / ".gitconfig").write_text('[http "https://github.com/team/app"]\n\textraHeader = X-Other: 1\n')
    settings = git_settings([APP], [SECRET], "agent", "http://127.0.0.1:3128")
    variables = dict(git_environment(settings))
    assert variables["GIT_CONFIG_COUNT"] == str(len(settings))
    assert (variables["GIT_CONFIG_KEY_0"], variables["GIT_CONFIG_VALUE_0"]) == ("http.proxy", "http://127.0.0.1:3128")
    assert ask_git(settings, "http.extraHeader", "https://github.com/team/app", tmp_path) == [header("x-access-token")]
    assert STAND_IN not in repr(SECRET)
