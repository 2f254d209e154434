"""The key ``devcontainer.grants``: the user's words in their one spelling; a repository has none."""

import pytest

from orchestrator.config.document import read_document
from orchestrator.config.layers import Layer, Settings, Source, resolve
from orchestrator.errors import ConfigError

KEY = "devcontainer.grants"


def settings(**layers: str) -> Settings:
    named: dict[str, Layer] = {"organisation": "organisation", "user": "user", "repository": "repository", "task": "repository task"}
    return resolve(Source(named[name], read_document(text.encode(), name, "config").values) for name, text in layers.items())


def test_what_the_user_grants() -> None:
    found = settings(organisation="devcontainer: {grants: [gpu]}", user="devcontainer: {grants: ['cap:cap_sys_ptrace', 'mount:/a/']}")
    assert found[KEY].value == ("gpu", "cap:SYS_PTRACE", "mount:/a")
    assert not found.violations


@pytest.mark.parametrize("layer", ["repository", "task"])
def test_a_repository_grants_nothing(layer: str) -> None:
    found = settings(user="devcontainer: {grants: [gpu]}", **{layer: "devcontainer: {grants: [gpu, everything, privileged]}"})
    assert found[KEY].value == ("gpu",)
    assert [one.asked for one in found.violations] == ["everything", "privileged"]


@pytest.mark.parametrize(
    ("text", "because"), [("[privilegd]", "perhaps 'privileged'"), ("['mount:x']", "has a value that is none"), ("gpu", "a list")]
)
def test_malformed(text: str, because: str) -> None:
    with pytest.raises(ConfigError, match=because):
        settings(user=f"devcontainer: {{grants: {text}}}")
