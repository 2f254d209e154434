"""Whatever a body says: it is refused, or what any daemon would read in the forwarded one breaks no rule."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.guard import execs, networks, volumes
from orchestrator.guard.calls import Denied, Object, Usage
from orchestrator.guard.container import judge_create, with_mounts
from orchestrator.guard.host_config import CAPABILITIES
from orchestrator.guard.mounts import parse_mounts
from orchestrator.guard.ports import parse_ports
from orchestrator.guard.strictjson import encode, parse
from tests.unit.guard import go_reader as go
from tests.unit.guard.bodies import BACK, DB, IMAGE, NET, SESSION, found

EXAMPLES = 300
INHIBIT = "com.docker.network.bridge.inhibit_ipv4"

# --- bodies with everything nasty in them


def _spellings(name: str) -> st.SearchStrategy[str]:
    """The name, mostly; else something that a daemon takes for it."""
    variants = [name.lower(), name.upper(), name.replace("s", "\u017f"), name.replace("k", "\u212a"), name.swapcase()]
    return st.sampled_from([name] * 40 + variants)


def _member(name: str, values: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, str]]:
    keys = st.tuples(_spellings(name), st.sampled_from([0, 0, 0, 1, 2])).map(lambda drawn: go.escape(*drawn))
    return st.tuples(st.just(name), st.tuples(keys, values).map(":".join))


def _text(*values: Any) -> st.SearchStrategy[str]:
    return st.sampled_from([json.dumps(value) for value in values])


def _object(members: dict[str, st.SearchStrategy[str]], most: int = 5) -> st.SearchStrategy[str]:
    """Names come twice, once in a while."""
    one = st.one_of([_member(name, values) for name, values in members.items()])
    once, twice = (
        st.lists(one, max_size=most, unique_by=lambda row: row[0]),
        st.lists(one, min_size=1, max_size=2).map(lambda rows: rows * 2),
    )
    rows = st.integers(0, 30).flatmap(lambda drawn: twice if drawn == 30 else once)
    return rows.map(lambda rows: "{" + ",".join(text for _, text in rows) + "}")


def _list(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values, max_size=2).map(lambda rows: "[" + ",".join(rows) + "]")


ANYTHING = _text(None, True, False, 0, 1, -1, "", "x", [], {}, [0, 0], {"a": None})
MODES = _text("host", "container:foreign", "container:db", "private", "", "default", "none", "back", "foreign", None)
MOUNTS = _list(
    _object({
        "Type": _text("bind", "volume", "tmpfs", "cluster"),
        "Source": _text("/", "/etc", "/workspaces/app", "/workspaces/app/../x", "data", "foreign", ""),
        "Target": _text("/x", "/y", "/proc/x"),
        "VolumeOptions": _object({"DriverConfig": _object({"Options": _text({"o": "bind", "device": "/"}, {})}), "NoCopy": _text(True)}),
        "BindOptions": _object({"Propagation": _text("rshared", "", None)}),
    })
)  # fmt: skip
HOST = {
    "Privileged": _text(True, False, None, 1),
    "Binds": _text(["/:/x"], ["/workspaces/app:/x"], ["/workspaces/app-evil:/x"], ["data:/x"], ["/var/run/docker.sock:/s"], [], None),
    "Mounts": MOUNTS,
    "CapAdd": _text(["ALL"], ["SYS_ADMIN"], ["cap_chown"], [], None),
    "CapDrop": _text(["ALL"], [], None),
    "SecurityOpt": _text(["seccomp=unconfined"], ["no-new-privileges"], []),
    "NetworkMode": MODES,
    "PidMode": MODES,
    "IpcMode": MODES,
    "UTSMode": MODES,
    "UsernsMode": MODES,
    "Cgroup": MODES,
    "CgroupnsMode": MODES,
    "MaskedPaths": _text([], None, ["x"]),
    "ReadonlyPaths": _text([], None),
    "Devices": _text([{"PathOnHost": "/dev/vda"}], [], None),
    "DeviceCgroupRules": _text(["b *:* rwm"], []),
    "DeviceRequests": _text([{"Count": -1}], None),
    "Runtime": _text("evil", ""),
    "CgroupParent": _text("/", ""),
    "Annotations": _text({"a": "b"}, {}),
    "Sysctls": _text({"kernel.core_pattern": "|/x"}, {"net.core.somaxconn": "5"}, {}),
    "Links": _text(["foreign:x"], ["db:x"], []),
    "VolumesFrom": _text(["foreign"], ["db:ro"], None),
    "LogConfig": _object({"Type": _text("fluentd", "json-file", ""), "Config": _text({"max-size": "1m"}, {"fluentd-address": "x"}, {})}),
    "PortBindings": _text({"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "80"}]}, {}, None),
    "PublishAllPorts": _text(True, False),
    "ExtraHosts": _text(["a:host-gateway"], ["a:1.2.3.4"]),
    "Dns": _text(["8.8.8.8"], []),
    "OomScoreAdj": _text(-1000, 0),
    "OomKillDisable": _text(True, False, None),
    "PidsLimit": _text(-1, 0, 5, None),
    "Memory": _text(0, 1 << 30, 1 << 60),
    "MemorySwap": _text(-1, 0),
    "StorageOpt": _text({"size": "1"}, {}),
    "VolumeDriver": _text("evil", "local"),
    "Next": ANYTHING,
}  # fmt: skip
ENDPOINTS = _object({
    name: _object({
        "Aliases": _text(["x"], ["aienv-egress"]), "Links": _text(["foreign:x"], ["db:x"]), "MacAddress": _text("02:00:00:00:00:01", ""),
        "DriverOpts": _text({"a": "b"}, {}),
        "IPAMConfig": _text(None, {"IPv4Address": "169.254.169.254"}, {"LinkLocalIPs": ["1.1.1.1"]}),
    }, 2)
    for name in ("default", "back", "foreign", "host", "none", "bridge")
}, 2)  # fmt: skip
CREATE = _object({
    "Cmd": _text("x", ["x"], None),
    "Env": _text(["A=b"], [], None),
    "Labels": _text({"dev.aienv.run": "other"}, {"a": "b"}, None),
    "MacAddress": _text("", "02:00:00:00:00:01"),
    "OnBuild": _text([], ["x"]),
    "HostConfig": st.one_of(_object(HOST), _object(HOST), _text(None, {}, [])),
    "NetworkingConfig": _object({"EndpointsConfig": ENDPOINTS}, 2),
    "Privileged": _text(True, False),
    "Binds": _text(["/:/x"], []),
    "CapAdd": _text(["ALL"], None),
    "Next": ANYTHING,
}, 4)  # fmt: skip
EXEC = _object({"Privileged": _text(True, False, None), "Tty": _text(True), "Next": ANYTHING})
VOLUME = _object({
    "Name": _text("data", "aienv-map-x", ""), "Driver": _text("local", "nfs", ""), "ClusterVolumeSpec": _text(None, {"Group": "x"}),
    "DriverOpts": _object({"type": _text("none"), "o": _text("bind"), "device": _text("/")}), "Labels": _text({}, {"dev.aienv.run": "x"}),
})  # fmt: skip
NETWORK = _object({
    "Driver": _text("bridge", "macvlan", ""), "Internal": _text(True, False), "EnableIPv6": _text(True, False, None),
    "Options": _object({"com.docker.network.bridge.name": _text("docker0"), INHIBIT: _text("true", "false")}),
    "IPAM": _object({
        "Driver": _text("x", ""),
        "Config": _list(_object({"Subnet": _text("10.9.0.0/24", "8.8.8.0/24", "10.0.0.0/24"), "Gateway": _text("10.9.0.1")})),
    }),
    "ConfigFrom": _text(None, {"Network": "x"}), "Scope": _text("swarm", ""), "Ingress": _text(True, False),
})  # fmt: skip


def _bodies(documents: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """With an ending, sometimes."""
    endings = st.sampled_from([""] * 60 + ["\n", "{}", " null", "x", "\0"])
    return st.tuples(documents, endings).map(lambda drawn: "".join(drawn).encode())


def _with(member: str) -> Callable[[str], str]:
    """A document that begins with ``member``, without which nothing passes."""
    return lambda document: "{" + member + ("," + document[1:] if document != "{}" else "}")


# --- what may never be read in a forwarded body


def create(data: bytes) -> bytes:
    body = parse(data)
    known = found(body)
    mounts = parse_mounts(body, known, SESSION)
    made, _ = judge_create(body, None, None, known, SESSION, Usage(), mounts, parse_ports(body))
    held: Object = {"Type": "bind", "Source": "/held", "Target": ""}
    return encode(with_mounts(made, mounts, tuple(held for _ in mounts)))


def check_create(data: bytes) -> None:
    body = go.read(go.CREATE, data)
    host = body.get("HostConfig")
    assert isinstance(host, go.Value), "the top level would be taken for it"
    assert body.get("Image") == IMAGE
    assert not any(body.said.get(name) for name in go.HOST_FIELDS), "top level"
    assert not any(host.get(name) for name in FORBIDDEN)
    assert host.get("MaskedPaths") is host.get("ReadonlyPaths") is None
    own = {f"container:{DB}"}
    assert host.get("NetworkMode") in {NET, BACK, "none", *own}
    assert host.get("PidMode") in {None, "", *own}
    assert host.get("IpcMode") in {None, "", "private", "shareable", "none", *own}
    assert host.get("CgroupnsMode") in {None, "", "private"}
    assert set(host.get("CapAdd") or ()) <= CAPABILITIES
    assert {"NET_RAW", "ALL"} & set(host.get("CapDrop"))
    assert host.get("SecurityOpt") == ["no-new-privileges"]
    assert set(host.get("Sysctls") or ()) <= {"net.core.somaxconn"}
    assert host.get("LogConfig", "Type") in (None, "", "json-file", "local", "none")
    assert not [key for key in host.get("LogConfig", "Config") or () if "address" in key]
    assert all(one.partition(":")[0] == DB for one in host.get("VolumesFrom") or ())
    assert not host.get("Links")
    assert host.get("Dns") in (["127.0.0.1"], None)
    assert not [one for one in host.get("ExtraHosts") or () if "host-gateway" in one]
    assert (host.get("OomScoreAdj") or 0) >= 0
    assert not host.get("OomKillDisable")
    assert 0 < host.get("PidsLimit") <= 4096
    assert 0 < host.get("Memory") <= host.get("MemorySwap") <= 8 << 30
    assert host.get("CpuQuota") > 0
    assert body.get("Labels")["dev.aienv.run"] == SESSION.id
    _check_mounts(host)
    _check_endpoints(body.get("NetworkingConfig", "EndpointsConfig") or {})


FORBIDDEN = (
    "Privileged", "Binds", "Devices", "DeviceCgroupRules", "DeviceRequests", "Runtime", "Annotations", "CgroupParent", "UTSMode",
    "UsernsMode", "Cgroup", "StorageOpt", "VolumeDriver", "PortBindings", "PublishAllPorts", "CpuRealtimePeriod", "NanoCpus",
)  # fmt: skip


def _check_mounts(host: go.Value) -> None:
    targets = [one.get("Target") for one in host.get("Mounts") or ()] + list(host.get("Tmpfs") or ())
    assert len(set(targets)) == len(targets)
    assert not [target for target in targets if not target.startswith("/") or target.startswith("/proc")]
    for one in host.get("Mounts") or ():
        assert one.get("Type") in ("bind", "volume")
        assert (one.get("Type") == "bind") == (one.get("Source") == "/held")
        assert not one.get("VolumeOptions", "DriverConfig")
        assert not one.get("BindOptions", "Propagation")


def _check_endpoints(endpoints: dict[str, Any]) -> None:
    assert set(endpoints) <= {NET, BACK}
    for one in endpoints.values():
        assert "aienv-egress" not in (one.get("Aliases") or ())
        assert not one.get("MacAddress")
        assert not one.get("DriverOpts")
        assert not one.get("NetworkID")
        assert not one.get("IPAMConfig", "LinkLocalIPs")
        assert not one.get("IPAMConfig", "IPv4Address")  # of the fragments above none is private
        assert all(link.startswith("db:") for link in one.get("Links") or ())


def command(data: bytes) -> bytes:
    return encode(execs.judge_exec(parse(data), SESSION, Usage()))


def check_command(data: bytes) -> None:
    assert not go.read(go.EXEC, data).get("Privileged")


def volume(data: bytes) -> bytes:
    return encode(volumes.judge_create(parse(data), SESSION, Usage()))


def check_volume(data: bytes) -> None:
    body = go.read(go.VOLUME, data)
    assert body.get("Driver") == "local"
    assert not body.get("DriverOpts")
    assert not body.get("ClusterVolumeSpec")
    assert not (body.get("Name") or "").startswith("aienv-map-")
    assert body.get("Labels")["dev.aienv.run"] == SESSION.id


def network(data: bytes) -> bytes:
    return encode(networks.judge_create(parse(data), SESSION, Usage(), ("10.0.0.0/16",)))


def check_network(data: bytes) -> None:
    body = go.read(go.NETWORK, data)
    assert (body.get("Driver"), body.get("Internal"), body.get("EnableIPv6")) == ("bridge", True, False)
    assert body.get("Options") == {INHIBIT: "true"}
    assert body.get("IPAM", "Driver") in (None, "default")
    assert all(pool.get("Subnet") in ("10.9.0.0/24", None) for pool in body.get("IPAM", "Config") or ())
    assert not any(body.get(name) for name in ("ConfigFrom", "Scope", "Ingress"))


def _holds(judge: Callable[[bytes], bytes], check: Callable[[bytes], None], data: bytes) -> None:
    refused = None
    try:
        forwarded = judge(data)
    except Denied as caught:
        refused = caught.denial
    if refused is None:
        check(forwarded)
    else:
        assert refused.status in (400, 403, 404)
        assert refused.message.isprintable()


@settings(max_examples=EXAMPLES, deadline=None)
@given(_bodies(CREATE.map(_with('"Image":"app"'))))
@example(b'{"Image":"app","HostConfig":{"Privileged":true},"HostConfig":{}}')
@example(b'{"Image":"app","HostConfig":{"Privileged":true,"Privileged":null}}')
@example('{"Image":"app","Ho\u017ftConfig":{"Privileged":true}}'.encode())
@example(b'{"Image":"app","Privileged":true}')
@example(b'{"Image":"app","HostConfig":null,"Binds":["/:/x"]}')
@example(b'{"Image":"app"}{"Image":"app","HostConfig":{"Privileged":true}}')
def test_create(data: bytes) -> None:
    _holds(create, check_create, data)


@settings(max_examples=EXAMPLES, deadline=None)
@given(_bodies(_object(HOST, 3).map('{{"Image":"app","HostConfig":{}}}'.format)))
def test_host_config(data: bytes) -> None:
    """Few fields at once, so that many get through."""
    _holds(create, check_create, data)


@settings(max_examples=EXAMPLES, deadline=None)
@given(_bodies(EXEC.map(_with('"Cmd":["x"]'))), _bodies(VOLUME), _bodies(NETWORK.map(_with('"Name":"n"'))))
def test_others(exec_body: bytes, volume_body: bytes, network_body: bytes) -> None:
    _holds(command, check_command, exec_body)
    _holds(volume, check_volume, volume_body)
    _holds(network, check_network, network_body)


# --- the reader itself: what was measured on a daemon


@pytest.mark.parametrize(("data", "privileged"), [
    pytest.param('{"HostConfig":{"Privileged":true}}', True, id="plain"),
    pytest.param('{"hostconfig":{"PRIVILEGED":true}}', True, id="case"),
    pytest.param('{"Ho\u017ftConfig":{"Privileged":true}}', True, id="long-s"),
    pytest.param('{"HostConfig":{"\\u0050rivileged":true}}', True, id="escape"),
    pytest.param('{"HostConfig":{"Privileged":true},"HostConfig":{}}', True, id="merged"),
    pytest.param('{"HostConfig":{"Privileged":true},"HostConfig":null}', None, id="reset"),
    pytest.param('{"HostConfig":{"Privileged":true,"Privileged":null}}', True, id="null-leaves-a-flag"),
    pytest.param('{"HostConfig":{"Privileged":true,"Privileged":false}}', False, id="last"),
    pytest.param('{"Privileged":true}', True, id="top-level"),
    pytest.param('{"Privileged":true,"HostConfig":{}}', None, id="top-level-ignored"),
    pytest.param('{"HostConfig":{"Privileged":true}} {"HostConfig":{}}', True, id="first-document"),
])  # fmt: skip
def test_reader(data: str, privileged: bool | None) -> None:
    assert go.host_config(go.read(go.CREATE, data.encode())).get("Privileged") is privileged


def test_reader_merges_what_stands_in_lists() -> None:
    """A second list is decoded over the first: a mount of two halves."""
    data = b'{"HostConfig":{"Mounts":[{"Type":"bind","Source":"/"}],"mounts":[{"Target":"/x"}]}}'
    (mount,) = go.read(go.CREATE, data).get("HostConfig", "Mounts")
    assert mount.said == {"Type": "bind", "Source": "/", "Target": "/x"}


def test_checks_see_what_they_look_for() -> None:
    """Bodies of clients, forwarded as they came, fail."""
    for data in (b'{"Image":"app"}', b'{"Image":"app","hostconfig":{"Privileged":true}}'):
        with pytest.raises((AssertionError, TypeError)):
            check_create(data)
    with pytest.raises(AssertionError):
        check_command(b'{"privileged":true}')
    with pytest.raises(AssertionError):
        check_volume(b'{"Driver":"local","DriverOpts":{"o":"bind"},"DriverOpts":{}}')
