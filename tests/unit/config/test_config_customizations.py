"""``customizations.aienv`` of devcontainer.json: settings of the repository, like ``.aienv.yaml``."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.config.layers import Settings
from orchestrator.config.load import UserSide, load_user_side, merge_settings
from orchestrator.errors import ConfigError
from orchestrator.model.paths import paths_from

USUAL, OTHER = ".devcontainer/devcontainer.json", ".devcontainer.json"


@pytest.fixture
def side(tmp_path: Path) -> UserSide:
    """A user who configured nothing."""
    paths = paths_from({"AIENV_HOME": str(tmp_path / "home")})
    return load_user_side(paths, {}, {}, None, ("true",), tmp_path, organisation=tmp_path / "none")


def merged(side: UserSide, files: Mapping[str, object]) -> Settings:
    """``files``: bytes as they are, else what JSON says."""
    held = {name: value if isinstance(value, bytes) else json.dumps(value).encode() for name, value in files.items()}
    return merge_settings(side, held.get)


def aienv(**settings: object) -> dict[str, object]:
    return {"image": "x", "customizations": {"vscode": {}, "aienv": settings}}


def test_its_settings_count(side: UserSide) -> None:
    """With the place that said so; the file may have comments."""
    found = merged(side, {USUAL: b'{ // mine\n "customizations": {"aienv": {"limits": {"memory": "1g"}, "checks": ["make"],}}}'})
    assert (found["limits.memory"].value, found["checks"].value) == (1 << 30, ("make",))
    assert found["limits.memory"].where.startswith(f"{USUAL} (customizations.aienv):")


def test_they_only_tighten(side: UserSide) -> None:
    """What would loosen is an ask that is refused, as from the repository's own file."""
    asks = aienv(limits={"memory": "64g"}, network={"allow": ["evil.example.org"]}, devcontainer={"grants": ["privileged"]})
    found = merged(side, {OTHER: asks})
    assert {violation.key for violation in found.violations} == {"limits.memory", "network.allow", "devcontainer.grants"}
    assert found["limits.memory"].value == 4 << 30


def test_the_repository_s_own_file_is_stronger(side: UserSide) -> None:
    """Both are one layer."""
    found = merged(side, {USUAL: aienv(limits={"memory": "1g"}, checks=["a"]), ".aienv.yaml": b"limits: {memory: 2g}\nchecks: [b]"})
    assert (found["limits.memory"].value, found["checks"].value) == (2 << 30, ("a", "b"))


def test_the_first_place_counts(side: UserSide) -> None:
    """As for the container itself."""
    found = merged(side, {USUAL: aienv(checks=["a"]), OTHER: aienv(checks=["b"])})
    assert found["checks"].value == ("a",)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"\xff", b"[]", b"3", b"{}", b'{"customizations": []}', b'{"customizations": {"vscode": {}}}',
        b'{"customizations": {"aienv": {}}}',
    ],
)  # fmt: skip
def test_what_says_nothing(side: UserSide, data: bytes) -> None:
    """A broken file too: a run that does not take its container must not fail of it."""
    assert merged(side, {USUAL: data})["limits.memory"].layer == "built-in"


@pytest.mark.parametrize("settings", [{"memory": "1g"}, {"limits": {"memory": 3.5}}, {"version": 2}])
def test_what_is_no_setting(side: UserSide, settings: dict[str, object]) -> None:
    """Refused, with the place."""
    with pytest.raises(ConfigError, match=r"customizations\.aienv"):
        merged(side, {USUAL: aienv(**settings)})


@pytest.mark.parametrize("value", [[], "x", 3])
def test_what_is_no_map(side: UserSide, value: object) -> None:
    """Somebody meant something by it."""
    with pytest.raises(ConfigError, match=r"customizations\.aienv"):
        merged(side, {USUAL: {"customizations": {"aienv": value}}})
