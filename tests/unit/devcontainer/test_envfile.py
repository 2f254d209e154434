"""A stranger's file of variables, read by us and written anew for compose."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.devcontainer import envfile


@pytest.mark.parametrize(("text", "found"), [
    ("A=1", {"A": "1"}),
    ("A=1\nA=2", {"A": "2"}),
    (" export A = x y  # no", {"A": "x y"}),
    ("A: x", {"A": "x"}),
    ('A="x # y" # z', {"A": "x # y"}),
    ("A='$x'", {"A": "$x"}),
    ("#A=1\n\nB", {}),
    ("A=", {"A": ""}),
    ("1A=x\nÄ=x", {}),
    ('A="a\\nb"', {}),  # no line of ours holds it
    ("A=it's", {}),
    ("A=${B}", {}),
    ("A=x\r\nB=y", {"A": "x", "B": "y"}),
])  # fmt: skip
def test_values(text: str, found: dict[str, str]) -> None:
    assert envfile.read(text) == found


@pytest.mark.parametrize("name", [
    "GIT_SSH_COMMAND", "SSH_ASKPASS", "LD_PRELOAD", "BASH_ENV", "ENV", "DOCKER_HOST", "DOCKER_CONFIG", "COMPOSE_FILE", "BUILDX_CONFIG",
    "PYTHONSTARTUP", "PATH", "HOME", "http_proxy", "HTTPS_PROXY", "no_proxy", "XDG_CONFIG_HOME", "AWS_CONFIG_FILE", "GNUPGHOME", "IFS",
    "PYTHONPATH", "NODE_OPTIONS", "PERL5OPT", "RUBYOPT", "PYTHONHOME",
])  # fmt: skip
def test_what_steers_programs_does_not_count(name: str) -> None:
    assert envfile.read(f"{name}=x\nA=1") == {"A": "1"}
    assert envfile.read(f"export {name}='x'") == {}


@pytest.mark.parametrize("name", [
    "POSTGRES_PASSWORD", "TAG", "VERSION", "GITLAB", "PATHS", "HOMEPAGE", "ENVIRONMENT", "NODEPORT", "A_PROXY_X", "PYTHON_VERSION",
    "NODE_VERSION", "GO_VERSION", "AWS_REGION",
])  # fmt: skip
def test_what_is_only_like_it_counts(name: str) -> None:
    assert envfile.read(f"{name}=x") == {name: "x"}


@given(st.text())
def test_any_text_is_read_and_written_as_shell_would_read_it(text: str) -> None:
    values = envfile.read(text)
    lines = envfile.written(values).splitlines()
    assert [shlex.split(line) for line in lines] == [[f"{name}={value}"] for name, value in values.items()]
