"""The frame: every error is a message and a code, every name has its nearest."""

import json

import pytest

from orchestrator import errors
from orchestrator.cli.main import COMMANDS, HIDDEN, _fail, _own_options, command_line, run_command_line
from orchestrator.errors import AienvError


def all_errors(kind: type[AienvError] = AienvError) -> list[type[AienvError]]:
    return [kind, *(found for below in kind.__subclasses__() for found in all_errors(below))]


@pytest.mark.parametrize("kind", [kind for kind in all_errors() if kind.__module__ == errors.__name__], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("as_json", [False, True])
def test_errors_are_shown(kind: type[AienvError], as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Message and remedy on standard error, safe for a terminal; one document with --json; the code of its class."""
    problem = kind("no \033[31mway\nat all", remedy="try\ragain")
    assert _fail(problem, as_json) == kind.exit_code
    out, err = capsys.readouterr()
    assert err == "aienv: no \\x1b[31mway\naienv: at all\naienv: try\\ragain\n"
    if as_json:
        assert json.loads(out)["error"] == {"code": kind.code, "message": problem.message, "remedy": problem.remedy}
    else:
        assert out == ""


@pytest.mark.parametrize("code", sorted({kind.exit_code for kind in all_errors()}))
def test_codes_are_the_contracts(code: int) -> None:
    assert code in (2, 3, 4, 5, 6, 7, 125, 130)


@pytest.mark.parametrize("name", [*COMMANDS, *HIDDEN])
def test_every_command_is_there(name: str) -> None:
    """Each name of the table has its module and its function."""
    found = command_line.get_command(None, name)  # type: ignore[arg-type]
    assert found is not None
    assert found.help


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu"], "perhaps 'run'?"),
        (["lgos"], "perhaps 'logs'?"),
        (["zzzzzz"], "unknown command 'zzzzzz'"),
        (["run", "--quite", "--", "x"], "--quiet"),
        (["--jsn"], "--jsn"),
        (["ps", "extra"], "extra"),
    ],
)
def test_near_misses(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong word ends with 2 and names the nearest right one."""
    assert run_command_line(words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "own"),
    [
        (["run", "--json", "--", "x"], ["run", "--json"]),
        (["run", "--", "x", "--json"], ["run"]),
        (["ps", "--json"], ["ps", "--json"]),
        (["run", "--", "a", "--", "--json"], ["run"]),
    ],
)
def test_what_stands_behind_two_dashes_is_the_agents(words: list[str], own: list[str]) -> None:
    assert list(_own_options(words)) == own
