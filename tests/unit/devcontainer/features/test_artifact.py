"""Manifests of registries."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.devcontainer.features.artifact import ANNOTATION, CONFIG_TYPE, MAX_LAYER, read
from orchestrator.devcontainer.jsonc import Json
from orchestrator.errors import EnvironmentFailed

DIGEST = "sha256:" + "a" * 64


def manifest(**changes: Json) -> bytes:
    layer: Json = {"mediaType": "application/vnd.devcontainers.layer.v1+tar", "digest": DIGEST, "size": 512}
    whole: dict[str, Json] = {
        "schemaVersion": 2, "config": {"mediaType": CONFIG_TYPE}, "layers": [layer], "annotations": {ANNOTATION: '{"id":"x"}'},
    }  # fmt: skip
    return json.dumps({**whole, **changes}).encode()


def test_read() -> None:
    found = read(manifest(), "a/b")
    assert (found.layer, found.size, found.annotation) == (DIGEST, 512, '{"id":"x"}')
    assert found.values["schemaVersion"] == 2


@pytest.mark.parametrize(
    "annotations", [pytest.param(None, id="none"), pytest.param({}, id="empty"), pytest.param({ANNOTATION: 1}, id="number")]
)
def test_without_an_annotation(annotations: Json) -> None:
    assert read(manifest(annotations=annotations), "a/b").annotation is None


@pytest.mark.parametrize(
    ("data", "because"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"\xff", "UTF-8", id="bytes"),
        pytest.param(b"<html>", "JSON", id="page"),
        pytest.param(b"[]", "object", id="list"),
        pytest.param(manifest() + b" // comment", "JSON", id="comment"),
        pytest.param(manifest(config={"mediaType": "application/vnd.oci.image.config.v1+json"}), "something else", id="an-image"),
        pytest.param(manifest(config=None), "something else", id="no-config"),
        pytest.param(manifest(layers=[]), "no layer", id="no-layers"),
        pytest.param(manifest(layers=[{"digest": "sha256:../../x", "size": 1}]), "no layer", id="digest"),
        pytest.param(manifest(layers=[{"digest": "sha512:" + "a" * 128, "size": 1}]), "no layer", id="algorithm"),
        pytest.param(manifest(layers=[{"digest": DIGEST}]), "None bytes", id="no-size"),
        pytest.param(manifest(layers=[{"digest": DIGEST, "size": MAX_LAYER + 1}]), "bytes", id="large"),
        pytest.param(manifest(layers=[{"digest": DIGEST, "size": True}]), "True bytes", id="true"),
    ],
)
def test_refused(data: bytes, because: str) -> None:
    with pytest.raises(EnvironmentFailed) as caught:
        read(data, "a/b")
    assert because in caught.value.message


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.builds(lambda key, value: manifest(**{key: value}), st.sampled_from(["config", "layers", "annotations"]),
       st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=2), max_leaves=4)))  # fmt: skip
def test_any_bytes(data: bytes) -> None:
    with contextlib.suppress(EnvironmentFailed):
        read(data, "a/b")
