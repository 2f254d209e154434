"""devcontainer-feature.json: what is read, and what is refused."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.devcontainer.features.manifest import MAX_BYTES, Option, read
from orchestrator.devcontainer.jsonc import Json
from orchestrator.errors import ConfigError

WHERE = "devcontainer-feature.json of './x'"


def test_whole() -> None:
    found = read(
        b"""{ // comments and commas are taken, as by the reference
        "id": "go", "version": "1.2.3", "dependsOn": {"./b": {"x": true}}, "installsAfter": ["./c"], "legacyIds": ["golang"],
        "options": {"version": {"type": "string", "default": "1", "enum": ["1", "2"]}, "flag": {"type": "boolean"}, "n": {"default": 3}},
        "containerEnv": {"PATH": "/go/bin:${PATH}"}, "unknown": [1], }""",
        WHERE,
        name="x",
    )
    assert (found.id, found.version, found.installs_after, found.aliases) == ("go", "1.2.3", ("./c",), ("go", "golang"))
    assert found.options == {
        "version": Option("string", "1", ("1", "2")), "flag": Option("boolean", None, None), "n": Option("string", "3", None),
    }  # fmt: skip
    assert found.depends_on == {"./b": {"x": True}}
    assert found.container_env == {"PATH": "/go/bin:${PATH}"}
    assert found.values["unknown"] == [1]
    assert found.renamed_to is None


def test_without_an_id_it_is_called_as_it_was_asked_for() -> None:
    assert read("{}", WHERE, name="x").id == "x"


def test_renamed() -> None:
    assert read('{"id": "old", "currentId": "new", "legacyIds": ["old"]}', WHERE, name="x").renamed_to == "new"


def test_what_speaks_of_the_resolution_is_not_the_features_to_say() -> None:
    found = read(
        '{"value": {"version": "evil"}, "included": false, "cachePath": "/etc", "consecutiveId": "../x", "id": "x"}', WHERE, name="x"
    )
    assert found.values == {"id": "x"}


@pytest.mark.parametrize(
    ("given", "customizations"),
    [
        pytest.param({"extensions": ["a.b"]}, {"vscode": {"extensions": ["a.b"]}}, id="extensions"),
        pytest.param({"extensions": ["c.d"], "customizations": {"vscode": {"extensions": ["a.b"]}, "x": 1}},
                     {"vscode": {"extensions": ["a.b", "c.d"]}, "x": 1}, id="added"),
        pytest.param({"settings": {"a": 1, "b": 2}, "customizations": {"vscode": {"settings": {"a": 3}}}},
                     {"vscode": {"settings": {"a": 3, "b": 2}}}, id="settings"),
    ],
)  # fmt: skip
def test_old_properties_have_a_new_place(given: dict[str, Json], customizations: Json) -> None:
    found = read(json.dumps(given), WHERE, name="x").values
    assert found == {"customizations": customizations}


@pytest.mark.parametrize(
    ("text", "because"),
    [
        pytest.param("", "is empty", id="empty"),
        pytest.param("[]", "not a JSON object", id="list"),
        pytest.param('{"id": "x"', "line 1", id="cut"),
        pytest.param('{"id": 1}', "'id'", id="id-type"),
        pytest.param('{"id": "../x"}', "no name of a feature", id="id-path"),
        pytest.param('{"id": "a..b"}', "no name of a feature", id="id-dots"),
        pytest.param('{"id": "a/b"}', "no name of a feature", id="id-slash"),
        pytest.param('{"id": ""}', "no name of a feature", id="id-empty"),
        pytest.param('{"version": 1}', "'version'", id="version"),
        pytest.param('{"options": []}', "'options'", id="options"),
        pytest.param('{"options": {"a": "b"}}', "'options.a'", id="option"),
        pytest.param('{"options": {"a": {"default": []}}}', "'options.a.default'", id="default"),
        pytest.param('{"dependsOn": ["x"]}', "'dependsOn'", id="depends-on"),
        pytest.param('{"installsAfter": "x"}', "'installsAfter'", id="installs-after"),
        pytest.param('{"installsAfter": [1]}', "'installsAfter'", id="installs-after-number"),
        pytest.param('{"legacyIds": {}}', "'legacyIds'", id="legacy"),
        pytest.param('{"privileged": "yes"}', "'privileged'", id="privileged"),
        pytest.param('{"init": 1}', "'init'", id="init"),
        pytest.param('{"capAdd": "SYS_ADMIN"}', "'capAdd'", id="cap-add"),
        pytest.param('{"securityOpt": [1]}', "'securityOpt'", id="security-opt"),
        pytest.param('{"entrypoint": ["x"]}', "'entrypoint'", id="entrypoint"),
        pytest.param('{"mounts": [1]}', "'mounts'", id="mounts"),
        pytest.param('{"customizations": 1}', "'customizations'", id="customizations"),
        pytest.param('{"onCreateCommand": 1}', "'onCreateCommand'", id="lifecycle"),
        pytest.param('{"containerEnv": {"A B": "x"}}', "no name of a variable", id="env-blank"),
        pytest.param('{"containerEnv": {"A=B\\nRUN x": "x"}}', "no name of a variable", id="env-line"),
        pytest.param('{"containerEnv": {"A": []}}', "'containerEnv.A'", id="env-value"),
        pytest.param('{"extensions": {}, "settings": {"a": 1}}', "wrong type", id="old"),
        pytest.param('{"installsAfter": [' + ",".join(['"x"'] * 300) + "]}", "at most 256", id="many"),
        pytest.param('{"name": "' + "x" * MAX_BYTES + '"}', "bytes", id="large"),
    ],
)  # fmt: skip
def test_refused(text: str, because: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text.encode(), WHERE, name="x")
    assert because in caught.value.message
    assert caught.value.message.startswith(WHERE)


def test_not_utf8() -> None:
    with pytest.raises(ConfigError, match="UTF-8"):
        read(b'{"id": "\xff"}', WHERE, name="x")


KEYS = st.sampled_from(
    ["id", "version", "options", "dependsOn", "installsAfter", "legacyIds", "containerEnv", "settings", "extensions", "mounts"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "default", "type", "enum", "vscode"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=5).map(json.dumps) | st.text(max_size=30))
def test_anything_is_a_manifest_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigError):
        read(text, WHERE, name="x")
