"""Options: defaults, names of variables, values that a shell would take for more."""

import json

import pytest

from orchestrator.devcontainer.features.manifest import Manifest, read
from orchestrator.devcontainer.features.options import Asked, Users, asked, chosen, environment, variable, warnings
from orchestrator.devcontainer.jsonc import Json
from orchestrator.errors import ConfigError


def feature(**options: Json) -> Manifest:
    return read(json.dumps({"id": "x", "options": options}), "x", name="x")


WITH_VERSION = feature(version={"type": "string", "default": "lts"}, flag={"type": "boolean", "default": True}, bare={"type": "string"})
WITHOUT = feature(flag={"type": "boolean", "default": False})


@pytest.mark.parametrize(
    ("option", "name"),
    [
        pytest.param("option-name", "OPTION_NAME", id="dash"),
        pytest.param("option1-name-with_dashes-", "OPTION1_NAME_WITH_DASHES_", id="dashes"),
        pytest.param("myOptionName", "MYOPTIONNAME", id="capitals"),
        pytest.param("1name", "_NAME", id="digit"),
        pytest.param("12345_option-name", "_OPTION_NAME", id="digits"),
        pytest.param("__x", "_X", id="underscores"),
        pytest.param("a.b c$d", "A_B_C_D", id="others"),
        pytest.param("größe", "GR__E", id="not-ascii"),
        pytest.param("a=b\nc", "A_B_C", id="line"),
    ],
)
def test_names_of_variables(option: str, name: str) -> None:
    assert variable(option) == name


@pytest.mark.parametrize(
    ("manifest", "value", "expected"),
    [
        pytest.param(WITH_VERSION, {}, {"version": "lts", "flag": True}, id="defaults"),
        pytest.param(WITH_VERSION, {"version": "18", "own": "x"}, {"version": "18", "flag": True, "own": "x"}, id="over-them"),
        pytest.param(WITH_VERSION, "20", {"version": "20", "flag": True}, id="lone-text"),
        pytest.param(WITH_VERSION, True, {"version": True, "flag": True}, id="true-is-a-version-where-there-is-one"),
        pytest.param(WITHOUT, "20", {"flag": False}, id="lone-text-without-a-version"),
        pytest.param(WITHOUT, True, {"flag": False}, id="true"),
    ],
)
def test_chosen(manifest: Manifest, value: Asked, expected: object) -> None:
    assert chosen(manifest, value) == expected


@pytest.mark.parametrize(
    ("given", "value"),
    [
        pytest.param(True, True, id="true"),
        pytest.param(False, False, id="false"),
        pytest.param("1", "1", id="text"),
        pytest.param(18, "18", id="number"),
        pytest.param(1.5, "1.5", id="fraction"),
        pytest.param({"a": "b", "c": True, "d": 2}, {"a": "b", "c": True, "d": 2}, id="object"),
    ],
)
def test_asked(given: Json, value: Asked) -> None:
    assert asked(given, "./x") == value


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(None, id="null"),
        pytest.param([], id="list"),
        pytest.param({"a": []}, id="list-in-it"),
        pytest.param({"a": None}, id="null-in-it"),
        pytest.param({"a": "x\0y"}, id="nul"),
        pytest.param("x" * 70_000, id="long"),
        pytest.param({str(number): "" for number in range(300)}, id="many"),
    ],
)
def test_not_asked(given: Json) -> None:
    with pytest.raises(ConfigError, match=r"'\./x' takes"):
        asked(given, "./x")


USERS = Users(container="root", remote="dev", container_home="/root", remote_home="/home/dev")


def test_environment() -> None:
    """Values stay text, whatever a shell would make of them."""
    found = environment(WITH_VERSION, {"own-one": '$(touch /pwned)"; `x`\n', "flag": False}, USERS)
    assert found == (
        ("_CONTAINER_USER", "root"),
        ("_REMOTE_USER", "dev"),
        ("_CONTAINER_USER_HOME", "/root"),
        ("_REMOTE_USER_HOME", "/home/dev"),
        ("VERSION", "lts"),
        ("FLAG", "false"),
        ("OWN_ONE", '$(touch /pwned)"; `x`\n'),
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param({"own": "x"}, "has no option 'own', only: version, kind, flag", id="unknown"),
        pytest.param({"kind": "c"}, "is one of a, b, not 'c'", id="enum"),
        pytest.param({"flag": "maybe"}, "is true or false, not 'maybe'", id="boolean"),
        pytest.param({"Flag": "x"}, "'flag' and 'Flag' of './x' are one variable, FLAG", id="one-variable"),
    ],
)
def test_warned_of(value: Asked, words: str) -> None:
    manifest = feature(version={"default": "1"}, kind={"enum": ["a", "b"], "default": "a"}, flag={"type": "boolean", "default": True})
    assert any(words in one for one in warnings(manifest, value, "./x"))


def test_not_warned_of() -> None:
    manifest = feature(version={"default": "1"}, kind={"enum": ["a", "b"]}, flag={"type": "boolean"}, free={"proposals": ["a"]})
    assert warnings(manifest, {"version": "2", "kind": "b", "flag": "true", "free": "z"}, "./x") == ()
    assert warnings(manifest, "3", "./x") == ()
