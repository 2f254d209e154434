"""Whose a container is."""

import pytest

from orchestrator.devcontainer.engine import own_labels
from orchestrator.devcontainer.ids import PROJECT

HASH = "com.docker.compose.config-hash"


@pytest.mark.parametrize(("labels", "brought", "own"), [
    pytest.param({PROJECT: "p"}, {PROJECT: "p"}, {}, id="an-image-claims-a-project"),
    pytest.param({PROJECT: "p", HASH: "h"}, {PROJECT: "p", HASH: "h"}, {HASH: "h"}, id="and-a-hash"),
    pytest.param({PROJECT: "p", HASH: "h"}, {PROJECT: "p"}, {PROJECT: "p", HASH: "h"}, id="compose-built-the-image-and-made-the-container"),
    pytest.param({PROJECT: "p"}, {PROJECT: "q"}, {PROJECT: "p"}, id="the-container-says-something-else"),
    pytest.param({"devcontainer.local_folder": "/x", HASH: "h"}, {"devcontainer.local_folder": "/x"}, {HASH: "h"}, id="not-of-compose"),
])  # fmt: skip
def test_own_labels(labels: dict[str, str], brought: dict[str, str], own: dict[str, str]) -> None:
    assert {name: value for name, value in own_labels(labels, brought).items() if name != HASH} == {
        name: value for name, value in own.items() if name != HASH
    }
