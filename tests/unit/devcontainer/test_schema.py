"""The specification's schema, as warnings."""

from collections.abc import Iterator
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.devcontainer import schema
from orchestrator.devcontainer.jsonc import Json, Object


@pytest.mark.parametrize(
    "config",
    [
        {"image": "i"},
        {
            "image": "i",
            "name": "n",
            "forwardPorts": [3000, "db:1"],
            "mounts": ["x", {"type": "volume", "target": "/t"}],
            "remoteEnv": {"A": None},
        },
        {"build": {"dockerfile": "D", "context": ".", "args": {"A": "b"}, "target": "t", "cacheFrom": ["a"], "options": []}},
        {"dockerFile": "D", "context": "..", "build": {"target": "t"}},
        {"dockerComposeFile": ["a"], "service": "s", "workspaceFolder": "/", "shutdownAction": "stopCompose"},
        {
            "image": "i",
            "hostRequirements": {"cpus": 1, "memory": "8gb", "gpu": {"cores": 1}},
            "customizations": {"x": 1},
            "features": {"a": {}},
        },
        {"image": "i", "postCreateCommand": {"a": ["b"], "c": "d"}, "waitFor": "onCreateCommand", "secrets": {"A": {"description": "d"}}},
    ],
)
def test_fits(config: Object) -> None:
    assert schema.warnings(config) == ()


@pytest.mark.parametrize(
    ("config", "warning"),
    [
        ({"name": "n"}, "none of image, build, dockerFile, dockerComposeFile is given"),
        ({"image": 5}, "image is 5, not of type string"),
        ({"image": "i", "extensions": []}, "extensions is not known"),
        ({"image": "i", "forwardPorts": "80"}, 'forwardPorts is "80", not of type array'),
        ({"image": "i", "forwardPorts": [70000]}, "forwardPorts[0] is 70000; the maximum is 65535"),
        ({"image": "i", "init": 1}, "init is 1, not of type boolean"),
        ({"image": "i", "hostRequirements": {"cpus": True}}, "hostRequirements.cpus is true, not of type integer"),
        (
            {"image": "i", "hostRequirements": {"memory": "lots"}},
            'hostRequirements.memory is "lots", which is not of the form ^\\d+([tgmk]b)?$',
        ),
        ({"image": "i", "hostRequirements": {"x": 1}}, "hostRequirements.x is not known"),
        ({"image": "i", "waitFor": "x"}, 'waitFor is "x", not one of "initializeCommand", "onCreateCommand"'),
        ({"image": "i", "containerEnv": {"N": 1}}, "containerEnv.N is 1, not of type string"),
        ({"image": "i", "secrets": {"1": {}}}, "secrets.1 is not known"),
        ({"build": {"context": "."}}, "build.dockerfile is missing"),
        ({"dockerComposeFile": "c"}, "service is missing"),
        ({"image": "i", "build": {"dockerfile": "D"}}, "it has properties that exclude each other"),
    ],
)
def test_warns(config: Object, warning: str) -> None:
    assert any(warning in text for text in schema.warnings(config))


def test_not_too_many() -> None:
    found = schema.warnings({"image": "i", **{f"x{number}": 1 for number in range(50)}})
    assert len(found) == schema.MAX_WARNINGS + 1
    assert found[-1] == "and 30 more"


def test_every_keyword_is_known() -> None:
    """A newer schema with a word that nobody reads would pass what it forbids."""
    assert set(keywords(schema._schema())) <= {*schema.CHECKS, *schema.SILENT}


def keywords(part: Json) -> Iterator[str]:
    if isinstance(part, list):
        for one in part:
            yield from keywords(one)
    if isinstance(part, dict):
        for keyword, value in part.items():
            yield keyword
            if keyword in ("properties", "patternProperties", "definitions"):
                for one in cast(Object, value).values():
                    yield from keywords(one)
            elif keyword not in ("default", "enum", "examples", "defaultSnippets"):
                yield from keywords(value)


NAMES = [
    "image",
    "build",
    "dockerFile",
    "dockerComposeFile",
    "mounts",
    "hostRequirements",
    "gpu",
    "secrets",
    "portsAttributes",
    "forwardPorts",
    "x",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), JSON, max_size=5))
def test_any_configuration(config: Object) -> None:
    assert all(isinstance(text, str) for text in schema.warnings(config))
