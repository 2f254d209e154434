"""The rules of merging: a row for each property, then the properties that hold for all."""

# ruff: noqa: E501 - a row of a table stays one line

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.devcontainer.merge import RULES, merge, mount_fields, size
from orchestrator.devcontainer.metadata import OF_CONFIG


def result(key: str, *values: Json, of: str | None = None) -> Json:
    """Property ``key`` of the merged configuration, when entries have ``values``."""
    return merge({}, [{of or key: value} for value in values]).get(key)


@pytest.mark.parametrize(
    ("key", "values", "expected"),
    [
        ("init", (False, None), False),
        ("init", (True, False), True),
        ("privileged", (True, False), True),
        ("capAdd", (["A", "B"], None, ["B", "C"]), ["A", "B", "C"]),
        ("capAdd", ([], None), None),
        ("securityOpt", (["x"], ["x"]), ["x"]),
        ("waitFor", ("onCreateCommand", "postCreateCommand", ""), "postCreateCommand"),
        ("remoteUser", ("a", "b"), "b"),
        ("remoteUser", ("a", None), "a"),
        ("remoteUser", ("a", ""), "a"),
        ("containerUser", ("a", "b"), "b"),
        ("userEnvProbe", ("none", "loginShell"), "loginShell"),
        ("overrideCommand", (True, False), False),
        ("overrideCommand", (True, "no"), True),
        ("updateRemoteUserUID", (False, None), False),
        ("shutdownAction", ("none", "stopContainer"), "stopContainer"),
        ("remoteEnv", ({"A": "1", "B": "1"}, {"B": None}), {"A": "1", "B": None}),
        ("containerEnv", ({"A": "1"}, "junk", {"A": "2"}), {"A": "2"}),
        ("portsAttributes", ({"1": {"label": "a", "protocol": "http"}}, {"1": {"label": "b"}}), {"1": {"label": "b"}}),
        ("otherPortsAttributes", ({"label": "a"}, {"label": "b"}), {"label": "b"}),
        ("forwardPorts", ([3000, "db:1"], ["localhost:3000", 3001, "db:1"]), [3000, "db:1", 3001]),
        ("forwardPorts", (["mylocalhost:30", "localhost:x"],), ["mylocalhost:30", "localhost:x"]),
        ("forwardPorts", ([], None), None),
        ("mounts", (["source=a,target=/t"], [{"type": "volume", "target": "/t"}, "src=b,dst=/u"]), [{"type": "volume", "target": "/t"}, "src=b,dst=/u"]),
        ("mounts", (["source=a,target=/t", "destination=/t"],), ["destination=/t"]),
        ("customizations", ({"vscode": 1}, {"vscode": {"a": 1}, "x": None}), {"vscode": [1, {"a": 1}], "x": [None]}),
        ("customizations", ({}, None), None),
        ("hostRequirements", ({"cpus": 2, "memory": "8gb"}, {"cpus": 1, "memory": "9000mb", "storage": "1kb"}), {"cpus": 2, "memory": str(9000 * 2**20), "storage": "1024"}),
        ("hostRequirements", ({"memory": "1024"}, {"memory": "junk"}), {"cpus": 0, "memory": "1024"}),
        ("hostRequirements", ({}, None), None),
        ("hostRequirements", (), None),
        ("hostRequirements", ({"gpu": False}, {"gpu": "optional"}), {"cpus": 0, "gpu": "optional"}),
        ("hostRequirements", ({"gpu": "optional"}, {"gpu": "optional"}), {"cpus": 0, "gpu": "optional"}),
        ("hostRequirements", ({"gpu": "optional"}, {"gpu": True}), {"cpus": 0, "gpu": {}}),
        ("hostRequirements", ({"gpu": {"cores": 4, "memory": "1gb"}}, {"gpu": {"cores": 2, "memory": "2gb"}}), {"cpus": 0, "gpu": {"cores": 4, "memory": str(2**31)}}),
        ("hostRequirements", ({"cpus": 1, "gpu": False}, None), {"cpus": 1}),
        ("hostRequirements", ({"cpus": 1}, {"gpu": False}), {"cpus": 1, "gpu": False}),
        ("hostRequirements", ({"gpu": True}, {"gpu": False}), {"cpus": 0, "gpu": True}),
    ],
)  # fmt: skip
def test_rule(key: str, values: tuple[Json, ...], expected: Json) -> None:
    assert result(key, *values) == expected


@pytest.mark.parametrize("key", ["onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand", "postAttachCommand"])
def test_hooks_are_a_list(key: str) -> None:
    """Of all, in order; "" and null are none, [] and {} are one. The single one is gone."""
    values: list[Json] = ["image", "", None, ["f"], {}, []]
    merged = merge({key: "own"}, [{key: one} for one in values])
    assert merged[f"{key}s"] == ["image", ["f"], {}, []]
    assert key not in merged


def test_entrypoints() -> None:
    assert result("entrypoints", "/a", "", "/b", of="entrypoint") == ["/a", "/b"]
    assert "entrypoints" not in merge({"entrypoint": "own"}, [])


def test_what_no_rule_names_is_the_files_own() -> None:
    config: Object = {"image": "i", "name": "n", "runArgs": ["x"], "features": {}, "secrets": {}, "x": 1}
    assert merge(config, [{"name": "other", "runArgs": ["y"]}]).items() >= config.items()


def test_entries_count_and_not_the_file() -> None:
    """The file is an entry like the others; alone it says nothing."""
    assert "remoteUser" not in merge({"remoteUser": "u"}, [])


def test_every_inherited_property_has_a_rule() -> None:
    assert set(OF_CONFIG) | {"entrypoint"} == {source for _, source in RULES.values()}


@pytest.mark.parametrize(("text", "fields"), [
    ("type=bind,src=/a,dst=/b", {"type": "bind", "source": "/a", "target": "/b"}),
    ("destination=/b,readonly", {"target": "/b", "readonly": None}),
    ({"target": "/x"}, {"target": "/x"}),
    (5, {}),
])  # fmt: skip
def test_mount_fields(text: Json, fields: Object) -> None:
    assert mount_fields(text) == fields


@pytest.mark.parametrize(("value", "amount"), [
    ("8gb", 8 << 30), ("1tb", 1 << 40), ("1mb", 1 << 20), ("1kb", 1 << 10), ("5", 5), (5, 5), ("5b", 0), ("1 gb", 0), ("1GB", 0), ("-1", 0), (None, 0),
    (True, 0), ("٣gb", 0),
])  # fmt: skip
def test_size(value: Json, amount: int) -> None:
    assert size(value) == amount


def test_many_mounts() -> None:
    mounts: list[Json] = [f"target=/{number}" for number in range(100_000)]
    assert result("mounts", mounts) == mounts


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "a", "localhost:1", "target=/x", "1gb", "optional"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "target", "cpus", "gpu", "memory"]), inner, max_size=2)
    ),
    max_leaves=6,
)
ENTRIES = st.lists(st.dictionaries(st.sampled_from([source for _, source in RULES.values()]), JSON, max_size=4), max_size=4)


@settings(max_examples=200, deadline=None)
@given(ENTRIES)
def test_any_entries(entries: list[Object]) -> None:
    """Labels are anybody's: every value gives an answer. An entry twice in a row changes no set, no last one and no maximum."""
    once, twice = merge({}, entries), merge({}, [one for one in entries for _ in range(2)])
    for key in ("init", "remoteUser", "overrideCommand", "remoteEnv", "waitFor", "privileged"):
        assert once.get(key) == twice.get(key)
