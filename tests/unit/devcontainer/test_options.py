"""Words of the command line as the reference reads them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.devcontainer.options import READ_CONFIGURATION, UP, Value, parse
from orchestrator.errors import UsageError


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ("--workspace-folder /x", "workspace-folder", "/x"),
        ("--workspace-folder=/x=y", "workspace-folder", "/x=y"),
        ("--workspaceFolder /x", "workspace-folder", "/x"),
        ("--config -x", "config", "-x"),
        ("--id-label a=b --id-label=c=d", "id-label", ("a=b", "c=d")),
        ("", "id-label", ()),
        ("", "config", None),
        ("--include-merged-configuration", "include-merged-configuration", True),
        ("--include-merged-configuration --config x", "include-merged-configuration", True),
        ("--include-merged-configuration false", "include-merged-configuration", False),
        ("", "mount-workspace-git-root", True),
        ("--mount-workspace-git-root false", "mount-workspace-git-root", False),
        ("--mount-workspace-git-root=false", "mount-workspace-git-root", False),
        ("--mountWorkspaceGitRoot=false", "mount-workspace-git-root", False),
        ("--log-level debug", "log-level", "debug"),
        ("--terminal-columns 80", "terminal-columns", "80"),
    ],
)
def test_read(words: str, name: str, value: Value) -> None:
    assert parse(words.split(), READ_CONFIGURATION).given[name] == value


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--bogus", "Unknown argument: --bogus"),
        ("--workspace-foldr x", "Unknown argument: --workspace-foldr, perhaps --workspace-folder?"),
        ("word", "Unknown argument: word"),
        ("-x", "Unknown argument: -x"),
        ("--", "Unknown argument: --"),
        ("--no-include-merged-configuration", "Unknown argument"),
        ("--config", "--config has no value"),
        ("--config --log-level debug", "--config has no value"),
        ("--config a --config b", "--config is given twice"),
        ("--include-merged-configuration=1", "is true or false"),
        ("--log-level loud", "--log-level is one of info, debug, trace, not 'loud'"),
        ("--terminal-rows many", "--terminal-rows is a number"),
    ],
)
def test_refused(words: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words.split(), READ_CONFIGURATION)
    assert reason in caught.value.message


def test_notes() -> None:
    """What has no meaning here is taken, and told."""
    words = [
        "--user-data-folder",
        "/x",
        "--skip-feature-auto-mapping",
        "--allow-cross-origin-auth-host",
        "a=b",
        "--allow-cross-origin-auth-host=c=d",
    ]
    notes = parse(words, READ_CONFIGURATION).notes
    assert [note.split()[0] for note in notes] == ["--user-data-folder", "--skip-feature-auto-mapping", "--allow-cross-origin-auth-host"]
    assert parse([], READ_CONFIGURATION).notes == ()


def test_an_older_name_asks_for_the_same_as_today_s() -> None:
    """Who asks for a frozen lock file in the older way must not get one that is not."""
    parsed = parse(["--experimental-frozen-lockfile"], UP)
    assert parsed.switch("frozen-lockfile")
    assert parsed.notes == ("--experimental-frozen-lockfile is deprecated, use --frozen-lockfile",)
    assert not parse(["--experimental-frozen-lockfile", "false"], UP).switch("frozen-lockfile")
    with pytest.raises(UsageError, match="--frozen-lockfile is given twice"):
        parse(["--frozen-lockfile", "--experimental-frozen-lockfile"], UP)


def test_an_empty_value_is_none() -> None:
    assert parse(["--config", ""], READ_CONFIGURATION).text("config") is None


@given(st.lists(st.sampled_from([*(f"--{name}" for name in READ_CONFIGURATION), "true", "false", "x", "", "=", "--"]), max_size=6))
def test_any_words(words: list[str]) -> None:
    with contextlib.suppress(UsageError):
        assert set(parse(words, READ_CONFIGURATION).given) == set(READ_CONFIGURATION)
