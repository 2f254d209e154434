"""What the self-test makes of each fact: a row per layer that can be missing."""

# ruff: noqa: E501 - a row of a table stays one line

import copy
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.sandbox.selftest import ROWS, Expected, problem, summary

NO_CAPABILITIES = {f"Cap{kind}": "0000000000000000" for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")}
# As a real sandbox of the local backend told it (bubblewrap 0.8, kernel 6.18), the mount points of a workspace with a submodule.
FACTS: Mapping[str, Any] = {
    "uid": [65533, 65533, 65533], "gid": [65533, 65533, 65533],
    "status": {"NoNewPrivs": "1", "Seccomp": "2", "Seccomp_filters": "1", **NO_CAPABILITIES},
    "namespaces": {"cgroup": "cgroup:[2185]", "ipc": "ipc:[2183]", "mnt": "mnt:[2180]", "net": "net:[2186]", "pid": "pid:[2184]", "user": "user:[2256]", "uts": "uts:[2182]"},
    "processes": [1, 2], "pid": 2, "descriptors": [], "interfaces": ["lo"], "routes": 0, "routes6": 0,
    "in_use": {"TCP": 0, "UDP": 0, "UDPLITE": 0, "RAW": 0, "TCP6": 0, "UDP6": 0, "UDPLITE6": 0, "RAW6": 0},
    "outside": [101, 101, 101], "resolver": 2, "canary_file": 2, "canary_port": 111, "canary_abstract": 111,
    "sockets": {"alg": 97, "vsock": 97, "packet": 97, "raw": 1, "raw6": 1, "netlink-diag": 97},
    "user_namespace": 1, "terminal_injection": 1, "root_file": 30, "sysctl": 13, "run": ["aienv"],
    "writable": [
        "/proc", "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/pts", "/dev/shm", "/tmp", "/home/agent", "/run",
        "/workspaces/my\\040app", "/workspaces/my\\040app/.git", "/workspaces/my\\040app/.git/modules",
    ],
}  # fmt: skip
PLACE = {"namespaces": {"ipc": "ipc:[1]", "mnt": "mnt:[2]", "net": "net:[3]", "pid": "pid:[4]", "user": "user:[5]", "uts": "uts:[6]"}}
EXPECTED = Expected(
    uid=65533, gid=65533, container=False, writable=frozenset(["/workspaces/my app", "/workspaces/my app/.git", "/workspaces/my app/.git/modules"]),
    run=frozenset(["aienv"]), canary_port=True, place=PLACE,
)  # fmt: skip
CONTAINER = Expected(**{name: getattr(EXPECTED, name) for name in EXPECTED.__slots__} | {"container": True})


def changed(path: str, value: object) -> dict[str, Any]:
    """The facts with one of them different; ``path`` is ``name`` or ``name/key``."""
    facts: dict[str, Any] = copy.deepcopy(dict(FACTS))
    name, _, key = path.partition("/")
    if key:
        facts[name][key] = value
    else:
        facts[name] = value
    return facts


def test_a_sandbox_that_holds() -> None:
    """The nearest to every refusal below: all as it must be."""
    assert problem(FACTS, EXPECTED) is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param("namespaces/net", "net:[3]", id="the-container's-own-network"),
        pytest.param("canary_file", 13, id="a-closed-folder-of-the-image"),
        pytest.param("in_use/TCP", 3, id="what-is-left-of-connections"),
        pytest.param("namespaces/cgroup", "", id="no-cgroup-namespaces"),
    ],
)
def test_a_container_may_differ(path: str, value: object) -> None:
    """What is the engine's there; on the host the first three are refused."""
    assert problem(changed(path, value), CONTAINER) is None
    assert (problem(changed(path, value), EXPECTED) is None) == (path == "namespaces/cgroup")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param("interfaces", ["lo", "tunl0", "sit0", "ip6tnl0"], id="idle-tunnels"),
        pytest.param("outside", [101, 101, 97], id="no-ipv6"),
        pytest.param("outside", [101, 101, 99], id="ipv6-switched-off"),
        pytest.param("canary_file", 20, id="a-file-in-the-way"),
        pytest.param("canary_abstract", 1, id="scoped-by-landlock"),
        pytest.param("writable", ["/tmp"], id="less-to-write"),
        pytest.param("run", [], id="an-empty-run"),
        pytest.param("descriptors", [9], id="a-descriptor-that-the-prelude-closed"),
        pytest.param("status/Seccomp_filters", "3", id="more-filters"),
        pytest.param("sysctl", 30, id="read-only-settings"),
        pytest.param("processes", [2, 1], id="order"),
    ],
)
def test_machines_may_differ(path: str, value: object) -> None:
    """What other kernels answer, and is as good."""
    assert problem(changed(path, value), EXPECTED) is None


MISSING = [
    pytest.param("user", "uid", [0, 0, 0], id="root"),
    pytest.param("user", "uid", [65533, 65533, 0], id="saved-root"),
    pytest.param("user", "uid", [1000, 1000, 1000], id="another-user"),
    pytest.param("user", "gid", [65533, 0, 65533], id="root's-group"),
    pytest.param("no new privileges", "status/NoNewPrivs", "0", id="privileges-may-grow"),
    pytest.param("capabilities", "status/CapEff", "0000000000200000", id="effective"),
    pytest.param("capabilities", "status/CapBnd", "000001ffffffffff", id="bounding"),
    pytest.param("capabilities", "status/CapAmb", "0000000000000001", id="ambient"),
    pytest.param("capabilities", "status/CapInh", "zero", id="no-number"),
    pytest.param("system call filter", "status/Seccomp", "0", id="no-filter"),
    pytest.param("system call filter", "user_namespace", 0, id="user-namespace-made"),
    pytest.param("system call filter", "user_namespace", 28, id="user-namespace-refused-by-its-limit-alone"),
    pytest.param("system call filter", "terminal_injection", 25, id="ioctl-not-filtered"),
    pytest.param("socket families", "sockets/alg", 0, id="alg"),
    pytest.param("socket families", "sockets/vsock", 0, id="vsock"),
    pytest.param("socket families", "sockets/raw", 0, id="raw"),
    pytest.param("socket families", "sockets/netlink-diag", 0, id="netlink"),
    pytest.param("network", "interfaces", ["lo", "eth0"], id="interface"),
    pytest.param("network", "routes", 1, id="route"),
    pytest.param("network", "routes6", 2, id="route6"),
    pytest.param("network", "outside", [0, 101, 101], id="public-address"),
    pytest.param("network", "outside", [101, 0, 101], id="metadata-address"),
    pytest.param("network", "outside", [101, 101, 0], id="public-address6"),
    pytest.param("network", "outside", [101], id="not-all-tried"),
    pytest.param("network", "outside", [101, 101, -1], id="no-answer"),
    pytest.param("host's loopback", "canary_port", 0, id="port"),
    pytest.param("host's loopback", "canary_port", -1, id="port-that-hangs"),
    pytest.param("host's loopback", "in_use", {}, id="not-counted"),
    pytest.param("host's loopback", "in_use/UDP", 1, id="a-resolver"),
    pytest.param("host's loopback", "in_use/TCP6", 1, id="a-listener"),
    pytest.param("abstract sockets", "canary_abstract", 0, id="abstract"),
    pytest.param("abstract sockets", "canary_abstract", 11, id="abstract-that-is-busy"),
    pytest.param("name resolution", "resolver", 0, id="resolver"),
    pytest.param("namespaces", "namespaces/pid", "pid:[4]", id="pid-shared"),
    pytest.param("namespaces", "namespaces/mnt", "mnt:[2]", id="mounts-shared"),
    pytest.param("namespaces", "namespaces/user", "user:[5]", id="users-shared"),
    pytest.param("namespaces", "namespaces/ipc", "", id="ipc-unknown"),
    pytest.param("namespaces", "namespaces/net", "net:[3]", id="network-shared"),
    pytest.param("processes", "processes", [1, 2, 7], id="others-seen"),
    pytest.param("processes", "processes", [2], id="no-first"),
    pytest.param("files outside", "canary_file", 0, id="file"),
    pytest.param("files outside", "canary_file", 13, id="closed-folder-of-the-host"),
    pytest.param("files outside", "run", ["aienv", "docker.sock"], id="socket-in-run"),
    pytest.param("read-only root", "writable", ["/tmp", "/usr"], id="writable-usr"),
    pytest.param("read-only root", "writable", ["/", "/tmp"], id="writable-root"),
    pytest.param("read-only root", "writable", ["/workspaces/my\\040app/.git/config"], id="writable-git-config"),
    pytest.param("read-only root", "writable", ["/workspaces/other"], id="another-workspace"),
    pytest.param("read-only root", "root_file", 0, id="file-in-root"),
    pytest.param("kernel settings", "sysctl", 0, id="core-pattern"),
]


@pytest.mark.parametrize(("layer", "path", "value"), MISSING)
def test_each_missing_layer_has_its_name(layer: str, path: str, value: object) -> None:
    """One fact is wrong: the layer is named, in words, with a way out."""
    found = problem(changed(path, value), EXPECTED)
    assert found is not None
    assert (found.layer, bool(found.found), bool(found.remedy)) == (layer, True, True)


def test_every_row_is_tried_above() -> None:
    """A layer without a case in the table would be a layer that nobody tried."""
    assert {str(case.values[0]) for case in MISSING} == {row.layer for row in ROWS}


@pytest.mark.parametrize("name", sorted(set(FACTS) - {"pid", "descriptors"}))
def test_an_answer_that_is_missing_or_odd_is_a_layer_that_is_missing(name: str) -> None:
    """Not told is not held: without the fact, and with one of another kind."""
    without = {key: value for key, value in FACTS.items() if key != name}
    assert problem(without, EXPECTED) is not None
    odd: object
    for odd in (None, "x", {}, [None], {"x": None}, [{}]):
        assert problem({**FACTS, name: odd}, EXPECTED) is not None, odd


def test_no_facts_at_all() -> None:
    assert problem({}, EXPECTED) is not None
    assert problem(FACTS, Expected(65533, 65533, False, frozenset(), frozenset(), True, {})) is not None


def test_without_a_port_to_knock_at_nothing_is_asked_of_it() -> None:
    """A host whose own loopback cannot be used has nothing to reach there."""
    no_port = Expected(**{name: getattr(EXPECTED, name) for name in EXPECTED.__slots__} | {"canary_port": False})
    assert problem(changed("canary_port", -1), no_port) is None


def test_the_event_has_the_mount_points_that_should_not_be() -> None:
    """The long list of those that should is left out; what cannot be read is kept as it is."""
    assert summary(FACTS, EXPECTED) == {**FACTS, "writable": []}
    assert summary(changed("writable", ["/usr", "/tmp"]), EXPECTED)["writable"] == ["/usr"]
    assert summary({"writable": 5}, EXPECTED) == {"writable": 5}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(FACTS)), value=JSON)
def test_any_answer_is_judged(name: str, value: object) -> None:
    """Whatever a place tells, the judge ends with a verdict."""
    found = problem({**FACTS, name: value}, EXPECTED)
    assert found is None or found.layer
    assert isinstance(summary({**FACTS, name: value}, EXPECTED), dict)
