"""The entries of an image's label and who asked for each."""

import json

from orchestrator.devcontainer.images.label import label_of, label_words
from orchestrator.devcontainer.jsonc import Object

CONFIG: Object = {"image": "i", "name": "n", "remoteUser": "${localEnv:USER}", "runArgs": ["--x"], "features": {"./f": {}}}


def test_the_weakest_first_with_their_origins() -> None:
    found = label_of("b:1", {"devcontainer.metadata": '[{"init": true}, {}]'}, [{"id": "./f"}], CONFIG)
    assert found.entries == ({"init": True}, {"id": "./f"}, {"remoteUser": "${localEnv:USER}"})
    assert found.origins == ("image label of b:1", "feature ./f", "devcontainer.json")
    labels = found.labels({"a": "b", "devcontainer.metadata": "no"})
    assert json.loads(labels["devcontainer.metadata"]) == list(found.entries)
    assert label_words(labels)[:2] == ("--label", "a=b")


def test_a_configuration_that_says_nothing_is_no_entry() -> None:
    assert label_of("b", {}, [], {"image": "i"}).entries == ()


def test_a_broken_label_counts_as_none() -> None:
    found = label_of("b", {"devcontainer.metadata": "{"}, [], CONFIG)
    assert found.origins == ("devcontainer.json",)
    assert "is no JSON" in found.problem
