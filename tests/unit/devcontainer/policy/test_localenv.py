"""Variables of this machine: who asks, who sees."""

import pytest

from orchestrator.devcontainer.jsonc import Json
from orchestrator.devcontainer.policy.grants import NONE, Grants
from orchestrator.devcontainer.policy.localenv import asked, notes, visible
from orchestrator.devcontainer.variables import Local, local_pass, substitute


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        ("${localEnv:A}", ("A",)),
        ("x${env:A}y${localEnv:B:default}", ("A", "B")),
        ({"a": [{"b": "${localEnv:A}"}, "${localEnv:A}"], "${localEnv:KEY}": 1}, ("A",)),
        ("${localenv:A} ${containerEnv:A} ${localEnv} ${localEnv:} $localEnv:A", ()),
        ("${localEnv:${localEnv:A}}", ("${localEnv",)),
        (None, ()),
    ],
)
def test_asked(raw: Json, names: tuple[str, ...]) -> None:
    assert asked(raw) == names


def test_what_is_asked_is_what_would_be_put_in() -> None:
    """The two readers agree: a configuration that sees only what ``asked`` tells has the same values."""
    environ = {"A": "1", "B": "2", "${localEnv": "3", "C": "4"}
    raw = "${localEnv:A}${env:B:x}${localEnv:${localEnv:A}}${localenv:C}"
    seen = {name: environ[name] for name in asked(raw)}
    assert substitute(raw, local_pass(Local(environ))) == substitute(raw, local_pass(Local(seen)))


def test_visible() -> None:
    environ = {"HOME": "/h", "TOKEN": "t", "": "x"}
    assert visible(environ, NONE) == {}
    assert visible(environ, Grants.of(["localEnv:TOKEN", "localEnv:OTHER"])) == {"TOKEN": "t"}
    assert visible(environ, Grants.of(["everything"])) == environ


def test_notes() -> None:
    found = notes(("HOME", "TOKEN", "UNSET", "HOME"), {"HOME": "/h", "TOKEN": "t"}, Grants.of(["localEnv:TOKEN"]))
    assert len(found) == 1
    assert "--grant localEnv:HOME gives it" in found[0]
