"""The label of images and containers."""

import json

import pytest

from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.devcontainer.metadata import LABEL, OF_CONFIG, entries_for_existing, entries_for_new, read_label

CONFIG: Object = {
    "image": "i",
    "name": "n",
    "remoteUser": "me",
    "remoteEnv": {"A": "1"},
    "onCreateCommand": "c",
    "features": {"f": {}},
    "runArgs": [],
}
PICKED: Object = {"remoteUser": "me", "remoteEnv": {"A": "1"}, "onCreateCommand": "c"}


@pytest.mark.parametrize(
    ("text", "entries", "problem"),
    [
        ('[{"init": true}, {"id": "f"}]', ({"init": True}, {"id": "f"}), ""),
        ('{"init": true}', ({"init": True},), ""),
        ("[]", (), ""),
        ("", (), ""),
        ("[{", (), "no JSON"),
        ('[{"init": true},] // x', (), "no JSON"),
        ("5", (), "no object"),
        ('"x"', (), "no object"),
        ('[{"a": 1}, 2, null]', ({"a": 1},), "no object"),
        ("[" * 10_000, (), "no JSON"),
    ],
)
def test_label(text: str, entries: tuple[Object, ...], problem: str) -> None:
    found = read_label({LABEL: text, "other": "x"})
    assert found.entries == entries
    assert problem in found.problem
    assert bool(problem) == bool(found.problem)


def test_no_label() -> None:
    assert read_label({}).entries == ()


def test_new() -> None:
    """Empty entries fall out; what is not inherited is not picked."""
    assert entries_for_new([{"a": 1}, {}], [{"id": "f"}], CONFIG) == ({"a": 1}, {"id": "f"}, PICKED)
    assert entries_for_new([], [], {"image": "i"}) == ()
    assert not {"name", "features", "build", "runArgs", "workspaceFolder", "appPort", "initializeCommand", "secrets"} & set(OF_CONFIG)


STORED: list[Object] = [{"onCreateCommand": "then"}]
LATER: Object = {"remoteUser": "me", "remoteEnv": {"A": "1"}}


@pytest.mark.parametrize(
    ("labels", "own", "expected"),
    [
        pytest.param({}, [], ({"id": "f"}, PICKED), id="no label: as a new one without an image"),
        pytest.param({LABEL: json.dumps(STORED), "x": "y"}, STORED, (*STORED, LATER), id="made by us: its label, and what is updated"),
        pytest.param({LABEL: json.dumps(STORED)}, STORED, (*STORED, {"id": "f"}, PICKED), id="made by others: their label and all of ours"),
    ],
)
def test_existing(labels: dict[str, str], own: list[Object], expected: tuple[Json, ...]) -> None:
    assert entries_for_existing(labels, own, CONFIG, {"x": "y"}, [{"id": "f"}]) == expected
