"""A new container: what is forwarded, what it refers to, what it is charged."""

from dataclasses import replace
from typing import cast

import pytest

from orchestrator.guard.calls import BindAsk, Denied, Json, Object, PortAsk, Reference, SocketAsk, TmpfsAsk, Usage, VolumeAsk
from orchestrator.guard.container import CONFIG, judge_create, references, with_mounts
from orchestrator.guard.strictjson import parse
from tests.unit.guard.bodies import BACK, DB, IMAGE, LIMITS, NET, SESSION, create, found, host, limited, pinned_by, refused

LABELS = {"dev.aienv.managed": "1", "dev.aienv.run": "run1", "dev.aienv.role": "guarded"}
PROXIES = (
    "HTTP_PROXY=http://aienv-egress:3128", "HTTPS_PROXY=http://aienv-egress:3128", "http_proxy=http://aienv-egress:3128",
    "https_proxy=http://aienv-egress:3128", "NO_PROXY=localhost,db", "no_proxy=localhost,db",
)  # fmt: skip
QUIET = replace(SESSION, proxy=None)


def endpoints(body: Object) -> Object:
    made = create(body, QUIET)[0]
    return cast(Object, cast(Object, made.get("NetworkingConfig", {})).get("EndpointsConfig", {}))


def test_whole() -> None:
    """Everything of a plain body is ours."""
    made, effect = create({"Cmd": ["true"]}, QUIET)
    assert made == {"Image": IMAGE, "Cmd": ["true"], "Labels": LABELS, "HostConfig": host({}, QUIET)}
    assert effect.image == "app"
    assert effect.reserve == Usage(1, LIMITS.container_memory_bytes, 0.0, LIMITS.container_pids)


@pytest.mark.parametrize(("body", "because"), [
    pytest.param({"Image": ""}, "create.image", id="no-image"),
    pytest.param({"Image": None}, "create.image", id="null-image"),
    pytest.param({"Image": ["app"]}, "body.type", id="image-list"),
    pytest.param({"Image": "foreign"}, "image.not-allowed", id="image"),
    pytest.param({"Image": "sha256:" + "9" * 64}, "image.not-allowed", id="image-by-id"),
    pytest.param({"image": "app"}, "body.case", id="image-case"),
    pytest.param({"hostconfig": {"Privileged": True}}, "body.case", id="case"),
    pytest.param({"Ho\u017ftConfig": {"Privileged": True}}, "body.case", id="long-s"),
    pytest.param({"hostconfig": None}, "body.case", id="case-of-nothing"),
    pytest.param({"HostConfig": []}, "body.type", id="host-config-list"),
    pytest.param({"Privileged": True}, "body.unknown", id="top-level-privileged"),
    pytest.param({"Binds": ["/:/x"]}, "body.unknown", id="top-level-binds"),
    pytest.param({"Mounts": [{"Type": "bind"}]}, "body.unknown", id="top-level-mounts"),
    pytest.param({"CapAdd": ["ALL"]}, "body.unknown", id="top-level-capabilities"),
    pytest.param({"NetworkMode": "host"}, "body.unknown", id="top-level-network"),
    pytest.param({"Memory": 1}, "body.unknown", id="top-level-memory"),
    pytest.param({"ſecurityOpt": ["x"]}, "body.unknown", id="top-level-folded"),
    pytest.param({"OnBuild": ["RUN x"]}, "body.not-allowed", id="on-build"),
    pytest.param({"MacAddress": "02:42:ac:11:00:02"}, "network.mac", id="mac"),
    pytest.param({"ArgsEscaped": True}, "body.not-allowed", id="windows"),
    pytest.param({"Env": ["=x"]}, "body.value", id="variable-without-name"),
    pytest.param({"Env": ["A=\0"]}, "body.text", id="nul"),
    pytest.param({"Env": {"A": "b"}}, "body.type", id="env-object"),
    pytest.param({"Env": [None]}, "body.type", id="env-null"),
    pytest.param({"Cmd": [["x"]]}, "body.type", id="words-in-words"),
    pytest.param({"Cmd": ["x" * 200_000]}, "body.long", id="long-word"),
    pytest.param({"Labels": {"a": 1}}, "body.type", id="label-number"),
    pytest.param({"Labels": ["a"]}, "body.type", id="labels-list"),
    pytest.param({"Hostname": "a b"}, "body.value", id="hostname"),
    pytest.param({"Hostname": "aienv-egress"}, "network.alias", id="hostname-of-the-way-out"),
    pytest.param({"StopTimeout": 10**9}, "body.range", id="stop-timeout"),
    pytest.param({"Tty": 1}, "body.type", id="flag-as-number"),
    pytest.param({"Tty": "true"}, "body.type", id="flag-as-text"),
    pytest.param({"Healthcheck": {"Test": ["CMD", "true"], "Interval": 1_000_000}}, "body.range", id="check-all-the-time"),
    pytest.param({"Healthcheck": {"test": ["CMD"]}}, "body.case", id="check-case"),
    pytest.param({"ExposedPorts": {"80/icmp": {}}}, "body.value", id="port"),
    pytest.param({"ExposedPorts": {"80/tcp": {"x": 1}}}, "body.unknown", id="port-value"),
    pytest.param({"NetworkingConfig": {"EndpointsConfig": {"foreign": {}}}}, "missing", id="network"),
    pytest.param({"NetworkingConfig": {"EndpointsConfig": {"host": {}}}}, "create.namespace", id="host-endpoint"),
    pytest.param({"NetworkingConfig": {"EndpointsConfig": {"back": {"Aliases": ["aienv-egress"]}}}}, "network.alias", id="alias"),
    pytest.param({"NetworkingConfig": {"EndpointsConfig": {"back": {"Aliases": ["AIENV-egress."]}}}}, "network.alias", id="alias-dot"),
    pytest.param({"NetworkingConfig": {"EndpointsConfig": {"back": {"Links": ["foreign"]}}}}, "missing", id="link"),
    pytest.param({"NetworkingConfig": {"EndpointsConfig": {"back": {"MacAddress": "02:42:ac:11:00:02"}}}}, "network.mac", id="mac-there"),
    pytest.param({"NetworkingConfig": {"EndpointsConfig": {"back": {"DriverOpts": {"a": "b"}}}}}, "network.options", id="endpoint-options"),
    pytest.param({"NetworkingConfig": {"EndpointsConfig": {"back": {"GwPriority": 1}}}}, "body.not-allowed", id="gateway-priority"),
    pytest.param(
        {"NetworkingConfig": {"EndpointsConfig": {"back": {"IPAMConfig": {"IPv4Address": "8.8.8.8"}}}}}, "network.address", id="address"
    ),
    pytest.param(
        {"NetworkingConfig": {"EndpointsConfig": {"back": {"IPAMConfig": {"IPv4Address": "169.254.169.254"}}}}}, "network.address",
        id="metadata-address",
    ),
    pytest.param(
        {"NetworkingConfig": {"EndpointsConfig": {"back": {"IPAMConfig": {"LinkLocalIPs": ["169.254.1.1"]}}}}}, "body.not-allowed",
        id="link-local",
    ),
    pytest.param({"NetworkingConfig": {"EndpointsConfig": {"back": {"aliases": ["x"]}}}}, "body.case", id="endpoint-case"),
    pytest.param({"NetworkingConfig": {"endpointsconfig": {}}}, "body.case", id="networking-case"),
    pytest.param({"NetworkingConfig": {"EndpointsConfig": {"default": {}, "bridge": {}}}}, "network.conflict", id="one-network-twice"),
    pytest.param(
        {"HostConfig": {"NetworkMode": "none"}, "NetworkingConfig": {"EndpointsConfig": {"back": {}}}}, "network.conflict",
        id="none-and-one",
    ),
    pytest.param(
        {"HostConfig": {"NetworkMode": "container:db"}, "NetworkingConfig": {"EndpointsConfig": {"back": {}}}}, "network.conflict",
        id="shared-and-one",
    ),
    pytest.param(
        {"HostConfig": {"NetworkMode": "container:db", "PortBindings": {"80/tcp": [{"HostPort": "1"}]}}}, "create.ports",
        id="shared-and-ports",
    ),
])  # fmt: skip
def test_refused(body: Object, because: str) -> None:
    """Besides HostConfig, which has a table of its own."""
    assert refused(body).rule == because


@pytest.mark.parametrize(("field", "value"), [
    ("Hostname", "web-1.example"), ("Domainname", "example.org"), ("User", "1000:1000"), ("WorkingDir", "/x"), ("Cmd", ["a", "b\nc"]),
    ("Entrypoint", []), ("Entrypoint", [""]), ("Shell", ["/bin/sh", "-c"]), ("StopSignal", "SIGTERM"), ("StopTimeout", 0), ("Tty", True),
    ("AttachStdin", False), ("ExposedPorts", {"80/tcp": {}, "53/udp": {}}), ("NetworkDisabled", True), ("Env", ["A=b", "GONE"]),
    ("Healthcheck", {"Test": ["NONE"]}),
])  # fmt: skip
def test_kept(field: str, value: Json) -> None:
    """A container's own affairs."""
    assert create({field: value}, QUIET)[0][field] == value


def test_one_word_is_a_command() -> None:
    assert create({"Cmd": "ls"}, QUIET)[0]["Cmd"] == ["ls"]


@pytest.mark.parametrize("field", sorted(set(CONFIG) - {"Image"}))
def test_every_field_may_be_null(field: str) -> None:
    assert create({field: None}, QUIET) == create({}, QUIET)


def test_labels() -> None:
    """What a client says under our names is dropped."""
    made = create({"Labels": {"a": "b", "dev.aienv.run": "other", "dev.aienv.x": "y", "DEV.aienv.x": "z"}}, QUIET)[0]
    assert made["Labels"] == {"a": "b", "DEV.aienv.x": "z", **LABELS}


@pytest.mark.parametrize(("env", "names"), [
    pytest.param(None, list(PROXIES), id="none-set"),
    pytest.param(["A=b"], list(PROXIES), id="others-set"),
    pytest.param(["HTTP_PROXY=", "no_proxy"], [PROXIES[1], PROXIES[2], PROXIES[3], PROXIES[4]], id="client-set-some"),
])  # fmt: skip
def test_proxy_variables(env: Json, names: list[str]) -> None:
    """The way out is told, where the client said nothing of it."""
    made, effect = create({"Env": env})
    assert made["Env"] == [*cast(list[Json], env or []), *names]
    assert list(effect.shown.env) == names


def test_no_way_out_no_variables() -> None:
    assert "Env" not in create({}, QUIET)[0]
    assert "Env" not in create({"HostConfig": {"NetworkMode": "none"}})[0]


def test_cgroup_parent() -> None:
    parented = replace(SESSION, plan=replace(SESSION.plan, cgroup_parent="/aienv/run1"))
    assert host({}, parented)["CgroupParent"] == "/aienv/run1"


# --- networks


@pytest.mark.parametrize(("mode", "forwarded"), [
    (None, NET), ("", NET), ("default", NET), ("bridge", NET), ("aienv-run1", NET), ("back", BACK), ("none", "none"),
    ("container:db", f"container:{DB}"),
])  # fmt: skip
def test_network_mode(mode: Json, forwarded: str) -> None:
    made, effect = create({"HostConfig": {"NetworkMode": mode}})
    assert cast(Object, made["HostConfig"])["NetworkMode"] == forwarded
    assert effect.shown.network_mode == (mode or "default")


def test_shared_network_has_no_names_of_its_own() -> None:
    """The engine refuses Dns beside such a mode."""
    assert "Dns" not in host({"NetworkMode": "container:db"})


@pytest.mark.parametrize("key", ["default", "bridge", "aienv-run1"])
def test_session_endpoint(key: str) -> None:
    """By whatever name, with what clients send for it."""
    zero = {
        "IPAMConfig": None, "Links": None, "Aliases": ["x"], "MacAddress": "", "DriverOpts": None, "GwPriority": 0, "NetworkID": "f" * 64,
        "EndpointID": "e", "Gateway": "1.2.3.4", "IPAddress": "1.2.3.4", "IPPrefixLen": 16, "IPv6Gateway": "", "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0, "DNSNames": ["a"],
    }  # fmt: skip
    assert endpoints({"NetworkingConfig": {"EndpointsConfig": {key: cast(Object, zero)}}}) == {NET: {"Aliases": ["x"]}}


def test_endpoints_of_own_networks() -> None:
    body: Object = {
        "HostConfig": {"NetworkMode": "back"},
        "NetworkingConfig": {"EndpointsConfig": {"back": {"IPAMConfig": {"IPv4Address": "10.1.2.3"}}, "default": None}},
    }
    assert endpoints(body) == {BACK: {"IPAMConfig": {"IPv4Address": "10.1.2.3"}}, NET: {}}


@pytest.mark.parametrize("mode", ["none", "container:db"])
def test_empty_endpoint_of_a_mode(mode: str) -> None:
    """Some clients send one."""
    body: Object = {"HostConfig": {"NetworkMode": mode}, "NetworkingConfig": {"EndpointsConfig": {mode: {"Aliases": None}}}}
    assert endpoints(body) == {}


def test_links_go_to_the_network() -> None:
    """The engine reads HostConfig.Links on its default network alone. By name: an id is nothing to a network's DNS."""
    body: Object = {
        "HostConfig": {"NetworkMode": "back", "Links": ["db:one", f"{DB[:12]}:two", "/db"]},
        "NetworkingConfig": {"EndpointsConfig": {"back": {"Links": ["db:one", "db:three"]}}},
    }
    assert endpoints(body) == {BACK: {"Links": ["db:one", "db:three", "db:two", "db:db"]}}
    assert endpoints({"HostConfig": {"Links": ["db:x"]}}) == {NET: {"Links": ["db:x"]}}
    assert "Links" not in host({"Links": ["db:x"]})


def test_no_network() -> None:
    """Without one only modes that need none pass."""
    lost = replace(SESSION, network=None, network_name="")
    assert refused({}, lost).rule == "network.session"
    assert host({"NetworkMode": "none"}, lost)["NetworkMode"] == "none"


# --- ports

PUBLISHED: Object = {
    "ExposedPorts": {"81/tcp": {}},
    "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}},
}


def test_ports_are_taken_out() -> None:
    made, effect = create({**PUBLISHED, "HostConfig": {**cast(Object, PUBLISHED["HostConfig"]), "PublishAllPorts": True}})
    assert not {"PortBindings", "PublishAllPorts"} & set(cast(Object, made["HostConfig"]))
    assert effect.ports == (PortAsk(80, "tcp", "0.0.0.0", 8080),)
    assert effect.shown.port_bindings == {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}
    assert effect.shown.publish_all
    assert effect.reserve.ports == 1


def test_engine_publishes_on_loopback() -> None:
    """Where the user named a network."""
    theirs = replace(SESSION, own_network=False)
    made, effect = create({**PUBLISHED, "HostConfig": {**cast(Object, PUBLISHED["HostConfig"]), "PublishAllPorts": True}}, theirs)
    assert cast(Object, made["HostConfig"])["PortBindings"] == {
        "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
        "81/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
    }
    assert "PublishAllPorts" not in cast(Object, made["HostConfig"])
    assert (effect.ports, effect.shown.publish_all, effect.reserve.ports) == ((), False, 2)


# --- holding and inheriting mounts


def test_restarts_where_binds_are_held_by_freezing() -> None:
    body: Object = {"HostConfig": {"Binds": ["/workspaces/app:/x"], "RestartPolicy": {"Name": "always"}}}
    made, effect = create(body, pinned_by("freeze"))
    assert cast(Object, made["HostConfig"])["RestartPolicy"] == {"Name": "no"}
    assert effect.shown.restart == {"Name": "always"}
    assert effect.shown.binds == ("/workspaces/app:/x",)
    assert cast(Object, create(body)[0]["HostConfig"])["RestartPolicy"] == {"Name": "always"}
    assert host({"RestartPolicy": {"Name": "always"}}, pinned_by("freeze"))["RestartPolicy"] == {"Name": "always"}


def test_inherited_binds_are_not_held_by_freezing() -> None:
    assert refused({"HostConfig": {"VolumesFrom": ["db"]}}, pinned_by("freeze")).rule == "create.volumes-from"


# --- quotas


@pytest.mark.parametrize(("body", "limits", "because"), [
    pytest.param({}, {"containers": 0}, "quota.containers", id="containers"),
    pytest.param({"HostConfig": {"Memory": 9 << 30}}, {}, "quota.memory", id="memory"),
    pytest.param({"HostConfig": {"Memory": 4 << 30, "MemorySwap": 9 << 30}}, {}, "quota.memory", id="swap"),
    pytest.param({"HostConfig": {"NanoCpus": 5 * 10**9}}, {}, "quota.cpus", id="cpus"),
    pytest.param({"HostConfig": {"CpuQuota": 500_000}}, {}, "quota.cpus", id="cpu-quota"),
    pytest.param({"HostConfig": {"PidsLimit": 5000}}, {}, "quota.pids", id="pids"),
    pytest.param({"HostConfig": {"Binds": ["new:/x"]}}, {"volumes": 0}, "quota.volumes", id="volumes"),
    pytest.param({"Volumes": {"/x": {}}}, {"volumes": 0}, "quota.volumes", id="anonymous-volumes"),
    pytest.param(PUBLISHED, {"ports": 0}, "quota.ports", id="ports"),
])  # fmt: skip
def test_quotas(body: Object, limits: dict[str, float], because: str) -> None:
    denial = refused(body, limited(**limits))
    assert denial.rule == because
    assert denial.remedy is not None
    assert denial.remedy.startswith(f"guard.{because.removeprefix('quota.')}: ")


def test_nearly_too_much() -> None:
    assert create({"HostConfig": {"Memory": 8 << 30}})[1].reserve.memory_bytes == 8 << 30
    assert refused({"HostConfig": {"Memory": 8 << 30}}, usage=Usage(1, 1)).rule == "quota.memory"
    assert create({"HostConfig": {"Binds": ["data:/x"]}}, limited(volumes=0))[1].mounts == (VolumeAsk("data", "/x", False, False),)


def test_platform() -> None:
    body: Object = {"Image": "app"}
    judge_create(body, None, "linux/arm64/v8", found(body), SESSION, Usage(), (), ())
    with pytest.raises(Denied):
        judge_create(body, None, "windows/amd64", found(body), SESSION, Usage(), (), ())


def test_name() -> None:
    body: Object = {"Image": "app"}
    assert judge_create(body, "web", None, found(body), SESSION, Usage(), (), ())[1].name == "web"
    with pytest.raises(Denied, match="the way out"):
        judge_create(body, "aienv-egress", None, found(body), SESSION, Usage(), (), ())


# --- references


def test_references() -> None:
    """Everything that a body names, also where it is refused later."""
    body = parse(b"""{
        "Image": "app",
        "HostConfig": {
            "NetworkMode": "n", "PidMode": "container:p", "IpcMode": "container:i", "VolumesFrom": ["v:ro"], "Links": ["/l:x"],
            "Binds": ["vol:/a", "/host:/b", "/lonely"],
            "Mounts": [{"Type": "volume", "Source": "m"}, {"Type": "bind", "Source": "/x"}, {"Type": "volume"}]
        },
        "NetworkingConfig": {"EndpointsConfig": {"e": {"Links": ["k"]}, "default": null, "container:c": {}}}
    }""")
    assert set(references(body)) == {
        Reference("image", "app"), Reference("network", "n"), Reference("network", "e"),
        *(Reference("container", name) for name in ("p", "i", "v", "l", "k", "c")),
        Reference("volume", "vol"), Reference("volume", "m"),
    }  # fmt: skip


@pytest.mark.parametrize("body", [
    b"{}", b'{"HostConfig":[]}', b'{"HostConfig":{"Binds":"x","Mounts":{},"Links":[1],"VolumesFrom":null,"NetworkMode":1}}',
    b'{"NetworkingConfig":{"EndpointsConfig":{"a":{"Links":"x"},"b":[]}}}', b'{"Image":1}',
])  # fmt: skip
def test_references_of_anything(body: bytes) -> None:
    """It is not judged yet."""
    references(parse(body))


# --- mounts come last


def test_with_mounts() -> None:
    made, _ = create({}, QUIET)
    bind: Object = {"Type": "bind", "Source": "/state/1", "Target": "/b", "ReadOnly": True}
    socket: Object = {"Type": "bind", "Source": "/state/socket", "Target": "/var/run/docker.sock"}
    asks = (
        BindAsk(0, "x", "/b", True, True), SocketAsk("/var/run/docker.sock"), VolumeAsk("data", "/v", True, True),
        VolumeAsk(None, "/a", False, False), TmpfsAsk("/t", 1024, 0o700, "noexec"),
    )  # fmt: skip
    whole = cast(Object, with_mounts(made, asks, (bind, socket, None, None, None))["HostConfig"])
    assert whole["Mounts"] == [
        bind, socket,
        {"Type": "volume", "Source": "data", "Target": "/v", "ReadOnly": True, "VolumeOptions": {"Labels": LABELS, "NoCopy": True}},
        {"Type": "volume", "Source": "", "Target": "/a", "ReadOnly": False, "VolumeOptions": {"Labels": LABELS}},
    ]  # fmt: skip
    assert whole["Tmpfs"] == {"/t": "noexec,size=1024,mode=700"}
    assert {key: value for key, value in whole.items() if key not in ("Mounts", "Tmpfs")} == made["HostConfig"]


def test_without_mounts() -> None:
    made, _ = create({})
    assert with_mounts(made, (), ()) == made


def test_a_bind_that_nothing_holds() -> None:
    made, _ = create({})
    with pytest.raises(Denied, match="nothing holds"):
        with_mounts(made, (BindAsk(0, "x", "/b", True, True),), (None,))


def test_two_with_one_target() -> None:
    made, _ = create({})
    with pytest.raises(Denied, match="two mounts"):
        with_mounts(made, (VolumeAsk("a", "/x", False, False), TmpfsAsk("/x", None, None)), (None, None))


def test_a_source_mounts_where_it_was_asked() -> None:
    """Whatever its maker wrote."""
    made, _ = create({})
    whole = with_mounts(made, (SocketAsk("/x"),), ({"Type": "bind", "Source": "/s", "Target": "/etc"},))
    assert cast(list[Object], cast(Object, whole["HostConfig"])["Mounts"])[0]["Target"] == "/x"
