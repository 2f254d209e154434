"""What a configuration says of its Dockerfile."""

from typing import Any

import pytest

from orchestrator.devcontainer.images import naming
from orchestrator.devcontainer.images.dockerfile import Recipe, recipe, to_judge, words
from orchestrator.errors import ConfigError


@pytest.mark.parametrize(
    ("config", "dockerfile", "context"),
    [
        ({"build": {"dockerfile": "Dockerfile"}}, "/w/.devcontainer/Dockerfile", "/w/.devcontainer"),
        ({"build": {"dockerfile": "sub/D"}}, "/w/.devcontainer/sub/D", "/w/.devcontainer/sub"),
        ({"build": {"dockerfile": "D", "context": ".."}}, "/w/.devcontainer/D", "/w"),
        ({"build": {"dockerfile": "../D", "context": "."}}, "/w/D", "/w/.devcontainer"),
        ({"dockerFile": "D", "context": ".."}, "/w/.devcontainer/D", "/w"),
        ({"dockerFile": "D", "build": {"context": ".."}}, "/w/.devcontainer/D", "/w"),
        ({"build": {"dockerfile": "D"}, "context": ".."}, "/w/.devcontainer/D", "/w/.devcontainer"),
        ({"build": {"dockerfile": "D"}, "image": "i"}, "/w/.devcontainer/D", "/w/.devcontainer"),
        ({"build": {"dockerfile": "/etc/D"}}, "/etc/D", "/etc"),
    ],
)
def test_paths(config: Any, dockerfile: str, context: str) -> None:
    found = recipe(config, "/w/.devcontainer")
    assert found is not None
    assert (found.dockerfile, found.context) == (dockerfile, context)


@pytest.mark.parametrize("config", [{}, {"image": "i"}, {"build": {}}, {"build": None, "image": "i"}, {"build": {"args": {"A": "1"}}}])
def test_no_dockerfile(config: Any) -> None:
    assert recipe(config, "/w") is None


@pytest.mark.parametrize(
    "build",
    [
        {"dockerfile": 5},
        {"dockerfile": ""},
        {"dockerfile": "D", "context": []},
        {"dockerfile": "D", "args": []},
        {"dockerfile": "D", "args": {"A": []}},
        {"dockerfile": "D", "args": {"A": None}},
        {"dockerfile": "D", "args": {"A=B": "1"}},
        {"dockerfile": "D", "args": {"": "1"}},
        {"dockerfile": "D", "target": 1},
        {"dockerfile": "D", "cacheFrom": {}},
        {"dockerfile": "D", "cacheFrom": ["a", 1]},
        [],
    ],
)
def test_of_a_wrong_type(build: Any) -> None:
    with pytest.raises(ConfigError):
        recipe({"build": build}, "/w")


def test_words() -> None:
    build: Any = {"dockerfile": "D", "args": {"A": "$(x) y", "B": 1, "C": True}, "target": "t", "cacheFrom": "c:1", "options": ["--x"]}
    found = recipe({"build": build}, "/w")
    assert found is not None
    assert words(found, ("--pull",)) == (
        "--pull", "-f", "/w/D", "--build-arg", "A=$(x) y", "--build-arg", "B=1", "--build-arg", "C=true", "--target", "t",
    )  # fmt: skip
    assert to_judge(found) == ["--x", "--cache-from=c:1"]


@pytest.mark.parametrize(("options", "judged"), [(None, ["--cache-from=c"]), ("--x", "--x"), ([1], [1, "--cache-from=c"])])
def test_what_is_judged(options: Any, judged: Any) -> None:
    assert to_judge(Recipe("/d", "/", {}, None, ("c",), options)) == judged


def test_names_say_what_is_in_them() -> None:
    assert naming.of_image("base", "sha256:" + "a" * 64) == "aienv-devcontainer/base:" + "a" * 64
    assert naming.of_image("base", "x")[:24] == "aienv-devcontainer/base:"


@pytest.mark.parametrize(
    ("name", "believed"),
    [
        (f"aienv-devcontainer/base:{'a' * 64}", True),
        (f"aienv-devcontainer/dockerfile:{'a' * 64}", True),
        (f"aienv-devcontainer/base:{'b' * 64}", False),
        (f"aienv-devcontainer/features:{'a' * 64}", False),
        ("debian:12", False),
    ],
)
def test_what_an_image_of_ours_stands_on(name: str, believed: bool) -> None:
    """A name that says which image it is; all else may lead to another image by the time of the build."""
    identity = "sha256:" + "a" * 64
    assert naming.to_stand_on(name, identity) == (name if believed else naming.of_image("base", identity))


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("aienv-devcontainer/features:1", True),
        ("docker.io/aienv-devcontainer/base:1", True),
        ("index.docker.io/aienv-devcontainer/base@sha256:1", True),
        ("aienv-devcontainer:1", False),
        ("x/aienv-devcontainer/base", False),
        ("ghcr.io/aienv-devcontainer/base", False),
    ],
)
def test_names_of_ours(name: str, ours: bool) -> None:
    assert naming.is_ours(name) == ours
    assert naming.of_content("f", "ab", "c") != naming.of_content("f", "a", "bc")
    assert naming.of_content("f", "ab", "c") == naming.of_content("f", "ab", "c")
