"""What ``docker compose config`` prints: a row for each key, and the nearest one that passes."""

import json
from contextlib import suppress

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.devcontainer.policy.compose import TOP, ComposeVerdict, host_paths, judge
from orchestrator.devcontainer.policy.composebuild import BUILD
from orchestrator.devcontainer.policy.composeservice import SERVICE
from orchestrator.devcontainer.policy.grants import NONE, Grants
from orchestrator.devcontainer.policy.verdict import WorkspaceGround
from orchestrator.errors import AienvError, ConfigError

GROUND = WorkspaceGround(("/w",), {"/w/out": "/etc", "/w/f/.env": "/home/me/.env"})


def of(config: Json, grants: tuple[str, ...] = (), service: str = "app") -> ComposeVerdict:
    return judge(json.dumps(config).encode(), service, GROUND, Grants.of(grants), "/w/f")


def of_service(values: Object, grants: tuple[str, ...] = (), top: Object | None = None) -> ComposeVerdict:
    """The values are those of another service than the one that is asked for: all are judged."""
    return of({"name": "p", "services": {"app": {"image": "x"}, "db": values}, **(top or {})}, grants)


NEEDS: list[tuple[Object, str | None]] = [
    ({"annotations": {"a": "b"}}, "compose:annotations"),
    ({"blkio_config": {"device_read_bps": [{"path": "/dev/sda", "rate": 1}]}}, "compose:blkio_config.device_read_bps"),
    ({"cap_add": ["SYS_PTRACE"]}, "cap:SYS_PTRACE"),
    ({"cap_add": [["SYS_PTRACE"]]}, None),
    ({"cgroup": "host"}, "cgroupns:host"),
    ({"cgroup_parent": "x"}, "compose:cgroup_parent"),
    ({"cpu_rt_period": 1}, "compose:cpu_rt_period"),
    ({"cpu_rt_runtime": "1"}, "compose:cpu_rt_runtime"),
    ({"credential_spec": {"file": "x"}}, "compose:credential_spec"),
    ({"deploy": {"resources": {"reservations": {"devices": [{"driver": "nvidia", "capabilities": ["gpu"]}]}}}}, "gpu"),
    ({"deploy": {"resources": {"limits": {"devices": [{}]}}}}, "gpu"),
    ({"deploy": {"new": 1}}, "compose:deploy.new"),
    ({"deploy": {"resources": {"new": 1}}}, "compose:deploy.resources.new"),
    ({"device_cgroup_rules": ["a *:* rwm"]}, "compose:device_cgroup_rules"),
    ({"devices": ["/dev/kvm:/dev/kvm:rwm"]}, "device:/dev/kvm"),
    ({"devices": [{"source": "/dev/kvm", "target": "/dev/kvm"}]}, "device:/dev/kvm"),
    ({"devices": [{}]}, None),
    ({"env_file": "../../x"}, "mount:/x"),
    ({"env_file": [".env"]}, "mount:/home/me/.env"),
    ({"env_file": [{"path": "/etc/x", "required": False}]}, "mount:/etc/x"),
    ({"external_links": ["x"]}, "compose:external_links"),
    ({"gpus": "all"}, "gpu"),
    ({"ipc": "host"}, "ipc:host"),
    ({"ipc": "container:x"}, "ipc:container:x"),
    ({"isolation": "x"}, "compose:isolation"),
    ({"label_file": "/etc/x"}, "mount:/etc/x"),
    ({"labels": {"devcontainer.local_folder": "/x"}}, "compose:labels"),
    ({"labels": ["dev.aienv.run=x"]}, "compose:labels"),
    ({"logging": {"driver": "syslog"}}, "compose:logging.driver"),
    ({"logging": {"options": {"syslog-address": "tcp://x"}}}, "compose:logging.options"),
    ({"logging": {"new": 1}}, "compose:logging.new"),
    ({"models": {"x": {}}}, "compose:models"),
    ({"network_mode": "host"}, "network:host"),
    ({"network_mode": "container:x"}, "network:container:x"),
    ({"network_mode": "service:nobody"}, "network:service:nobody"),
    ({"networks": {"x": {"driver_opts": {"a": "b"}}}}, "compose:networks.driver_opts"),
    ({"oom_kill_disable": True}, "compose:oom_kill_disable"),
    ({"oom_score_adj": -1}, "compose:oom_score_adj"),
    ({"pid": "host"}, "pid:host"),
    ({"ports": ["x"]}, None),
    ({"ports": [{"target": 80, "new": 1}]}, None),
    ({"post_start": [{"command": "x", "privileged": True}]}, "privileged"),
    ({"pre_stop": [{"command": "x", "new": True}]}, "compose:pre_stop.new"),
    ({"privileged": True}, "privileged"),
    ({"privileged": "yes"}, "privileged"),
    ({"provider": {"type": "x"}}, "compose:provider"),
    ({"runtime": "x"}, "compose:runtime"),
    ({"security_opt": ["seccomp:unconfined"]}, "security-opt:seccomp:unconfined"),
    ({"storage_opt": {"dm.x": "y"}}, "compose:storage_opt"),
    ({"sysctls": {"kernel.core_pattern": "x"}}, "compose:sysctls"),
    ({"sysctls": ["net.core.rmem_max=1"]}, "compose:sysctls"),
    ({"use_api_socket": True}, "docker-socket"),
    ({"userns_mode": "host"}, "userns:host"),
    ({"uts": "host"}, "uts:host"),
    ({"volumes": ["/etc:/x"]}, "mount:/etc"),
    ({"volumes": ["../../:/x"]}, "docker-socket"),
    ({"volumes": ["../..:/x:ro"]}, "docker-socket"),
    ({"volumes": ["../out:/x"]}, "mount:/etc"),
    ({"volumes": ["~/x:/x"]}, None),
    ({"volumes": ["/w:/x:rshared"]}, "run-arg:--mount"),
    ({"volumes": [{"type": "bind", "source": "/etc", "target": "/x"}]}, "mount:/etc"),
    ({"volumes": [{"type": "bind", "source": "../../x", "target": "/x"}]}, "mount:/x"),
    ({"volumes": [{"type": "bind", "source": "/w", "target": "/x", "bind": {"propagation": "rshared"}}]}, "compose:volumes"),
    ({"volumes": [{"type": "bind", "source": "/w", "target": "/x", "volume": {"nocopy": True}}]}, "compose:volumes"),
    ({"volumes": [{"type": "bind", "source": "/w", "target": "/x", "new": 1}]}, "compose:volumes"),
    ({"volumes": [{"type": "npipe", "source": "x", "target": "/x"}]}, "run-arg:--mount"),
    ({"volumes": [{"type": "bind", "source": "/var/run/docker.sock", "target": "/x"}]}, "docker-socket"),
    ({"volumes_from": ["container:x"]}, "compose:volumes_from"),
    ({"volumes_from": ["nobody"]}, "compose:volumes_from"),
    ({"new_key": 1}, "compose:new_key"),
    ({"extends": {"service": "x"}}, "compose:extends"),
    ({"build": "/etc"}, "mount:/etc"),
    ({"build": "https://example.org/x.git"}, "compose:build.context"),
    ({"build": {"context": "git@example.org:x"}}, "compose:build.context"),
    ({"build": {"context": "/etc"}}, "mount:/etc"),
    ({"build": {"context": "../.."}}, "docker-socket"),
    ({"build": {"context": "/w", "dockerfile": "../etc/x"}}, "mount:/etc/x"),
    ({"build": {"context": "/w", "additional_contexts": {"x": "/etc"}}}, "compose:build.additional_contexts"),
    ({"build": {"context": "/w", "cache_from": ["type=local,src=/etc"]}}, "compose:build.cache_from"),
    ({"build": {"context": "/w", "cache_to": ["x"]}}, "compose:build.cache_to"),
    ({"build": {"context": "/w", "entitlements": ["x"]}}, "compose:build.entitlements"),
    ({"build": {"context": "/w", "extra_hosts": ["x"]}}, "compose:build.extra_hosts"),
    ({"build": {"context": "/w", "isolation": "x"}}, "compose:build.isolation"),
    ({"build": {"context": "/w", "labels": {"devcontainer.metadata": "x"}}}, "compose:build.labels"),
    ({"build": {"context": "/w", "network": "host"}}, "network:host"),
    ({"build": {"context": "/w", "privileged": True}}, "compose:build.privileged"),
    ({"build": {"context": "/w", "secrets": ["x"]}}, "compose:build.secrets"),
    ({"build": {"context": "/w", "ssh": ["default"]}}, "compose:build.ssh"),
    ({"build": {"context": "/w", "tags": ["debian:bookworm"]}}, "compose:build.tags"),
    ({"build": {"context": "/w", "new": 1}}, "compose:build.new"),
]
HARMLESS: list[Object] = [
    {"attach": False}, {"cap_drop": ["ALL"]}, {"command": ["x"]}, {"configs": [{"source": "x"}]}, {"container_name": "x"},
    {"cpu_count": 1}, {"cpu_percent": 1}, {"cpu_period": 1}, {"cpu_quota": 1}, {"cpu_shares": 1}, {"cpus": 1}, {"cpuset": "0"},
    {"depends_on": {"app": {"condition": "service_started"}}}, {"dns": ["1.1.1.1"]}, {"dns_opt": ["x"]}, {"dns_search": ["x"]},
    {"domainname": "x"}, {"entrypoint": ["x"]}, {"environment": {"A": "b", "C": None}}, {"expose": ["80"]}, {"extra_hosts": ["x:1.2.3.4"]},
    {"group_add": ["1"]}, {"healthcheck": {"test": ["CMD", "x"]}}, {"hostname": "x"}, {"image": "x"}, {"init": True}, {"links": ["app"]},
    {"mac_address": "x"}, {"mem_limit": "1g"}, {"mem_reservation": "1g"}, {"mem_swappiness": 0}, {"memswap_limit": "1g"},
    {"pids_limit": 9}, {"platform": "linux/amd64"}, {"profiles": ["x"]}, {"pull_policy": "always"}, {"pull_refresh_after": "1d"},
    {"read_only": True}, {"restart": "always"}, {"scale": 1}, {"secrets": [{"source": "x"}]}, {"shm_size": "1g"}, {"stdin_open": True},
    {"stop_grace_period": "1s"}, {"stop_signal": "TERM"}, {"tmpfs": ["/run"]}, {"tty": True}, {"ulimits": {"nofile": 9}}, {"user": "1"},
    {"working_dir": "/x"}, {"develop": {"watch": []}}, {"x-anything": {"privileged": True}},
    {"blkio_config": {"weight": 10}}, {"cap_add": ["CHOWN"]}, {"cgroup": "private"}, {"privileged": False}, {"privileged": None},
    {"deploy": {"replicas": 1, "resources": {"limits": {"cpus": "1", "memory": "1g"}}, "restart_policy": {}, "placement": {}}},
    {"env_file": ["x.env"]}, {"env_file": {"path": "/w/x.env"}}, {"ipc": "shareable"}, {"ipc": "service:app"}, {"label_file": "/w/x"},
    {"labels": {"a": "b", "com.docker.compose.x": "y"}}, {"logging": {"driver": "json-file", "options": {"max-size": "1m"}}},
    {"network_mode": "bridge"}, {"network_mode": "none"}, {"network_mode": "service:app"}, {"networks": {"default": None}},
    {"networks": {"x": {"aliases": ["y"], "ipv4_address": "10.0.0.9"}}}, {"networks": ["x"]}, {"oom_kill_disable": False},
    {"oom_score_adj": 500}, {"pid": "service:app"}, {"post_start": [{"command": "x", "privileged": False, "user": "root"}]},
    {"security_opt": ["no-new-privileges:true"]}, {"storage_opt": {"size": "1G"}}, {"sysctls": {"net.core.somaxconn": 9}},
    {"use_api_socket": False}, {"volumes_from": ["app:ro"]}, {"gpus": []}, {"devices": None}, {"ports": ["127.0.0.1:80:80"]},
    {"volumes": ["./:/x", "..:/y:cached", "/w/a:/z:ro", "v1:/v", "/anonymous"]},
    {"volumes": [{"type": "bind", "source": "/w", "target": "/x", "read_only": True, "bind": {"create_host_path": True}}]},
    {"volumes": [{"type": "volume", "source": "v1", "target": "/x", "volume": {"nocopy": True}}]},
    {"volumes": [{"type": "tmpfs", "target": "/x", "tmpfs": {"size": 9}}]},
    {"build": "."}, {"build": {"context": "..", "dockerfile": "f/Dockerfile", "args": {"A": "b"}, "target": "x", "network": "none"}},
    {"build": {"context": "/w", "cache_from": ["ghcr.io/x/y:1"], "additional_contexts": {"x": "service:app"}, "privileged": False}},
    {"build": {"context": "/w", "labels": {"a": "b"}, "shm_size": "1g", "pull": True, "no_cache": True, "platforms": ["linux/amd64"]}},
]  # fmt: skip


@pytest.mark.parametrize(("values", "grant"), NEEDS, ids=lambda value: str(value)[:80])
def test_needs_a_grant(values: Object, grant: str | None) -> None:
    found = of_service(values)
    assert grant in [one.grant for one in found.findings]
    assert {one.origin for one in found.findings} == {"service db of the compose file"}
    granted = of_service(values, tuple(one.grant for one in found.findings if one.grant is not None))
    assert bool(granted.findings) is (grant is None)


@pytest.mark.parametrize("values", HARMLESS, ids=lambda value: str(value)[:80])
def test_harmless(values: Object) -> None:
    found = of_service(values)
    assert (found.findings, found.notes, found.ports) == ((), (), {})


def test_each_row_is_tested() -> None:
    rows = {key for values in (*(one for one, _ in NEEDS), *HARMLESS) for key in values}
    assert set(SERVICE) - rows == set()
    builds = [values["build"] for values in (*(one for one, _ in NEEDS), *HARMLESS) if isinstance(values.get("build"), dict)]
    untested = set(BUILD) - {key for one in builds if isinstance(one, dict) for key in one}
    assert untested <= {"dockerfile_inline", "no_cache_filter", "ulimits"}


@pytest.mark.parametrize(
    ("top", "grant"),
    [
        ({"volumes": {"v": {"external": True}}}, "volume:p_v"),
        ({"volumes": {"v": {"external": True, "name": "theirs"}}}, "volume:theirs"),
        ({"volumes": {"v": {"driver": "nfs"}}}, "compose:volumes.driver"),
        ({"volumes": {"v": {"driver_opts": {"device": "/"}}}}, "compose:volumes.driver_opts"),
        ({"volumes": {"v": {"labels": {"dev.aienv.run": "x"}}}}, "compose:volumes.labels"),
        ({"volumes": {"v": {"new": 1}}}, "compose:volumes.new"),
        ({"networks": {"n": {"external": True}}}, "network:n"),
        ({"networks": {"n": {"external": {"name": "theirs"}}}}, "network:theirs"),
        ({"networks": {"n": {"external": True, "name": "host"}}}, "network:host"),
        ({"networks": {"n": {"driver": "host"}}}, "network:host"),
        ({"networks": {"n": {"driver": "macvlan"}}}, "network:macvlan"),
        ({"networks": {"n": {"driver_opts": {"a": "b"}}}}, "compose:networks.driver_opts"),
        ({"networks": {"n": {"new": 1}}}, "compose:networks.new"),
        ({"secrets": {"s": {"file": "/etc/shadow"}}}, "mount:/etc/shadow"),
        ({"secrets": {"s": {"file": "../../x"}}}, "mount:/x"),
        ({"secrets": {"s": {"environment": "TOKEN"}}}, "localEnv:TOKEN"),
        ({"secrets": {"s": {"external": True}}}, "compose:secrets.external"),
        ({"secrets": {"s": {"driver": "x"}}}, "compose:secrets.driver"),
        ({"configs": {"c": {"file": "/etc/x"}}}, "mount:/etc/x"),
        ({"configs": {"c": {"environment": "TOKEN"}}}, "localEnv:TOKEN"),
        ({"models": {"m": {"model": "x"}}}, "compose:models"),
        ({"include": ["x"]}, "compose:include"),
        ({"new": 1}, "compose:new"),
    ],
)
def test_top(top: Object, grant: str) -> None:
    found = of_service({"image": "x"}, top=top)
    assert [one.grant for one in found.findings] == [grant]
    assert not of_service({"image": "x"}, (grant,), top).findings


@pytest.mark.parametrize(
    "top",
    [
        {"version": "3", "x-a": {"b": 1}},
        {"volumes": {"v": None, "w": {"name": "x", "driver": "local", "labels": {"a": "b"}, "external": False}}},
        {"networks": {"default": {"name": "p_default", "ipam": {}, "driver": "bridge", "internal": True, "external": False}}},
        {"secrets": {"s": {"file": "./s", "name": "p_s"}}, "configs": {"c": {"content": "x"}}},
    ],
)
def test_harmless_top(top: Object) -> None:
    assert of_service({"image": "x"}, top=top).findings == ()


def test_rows_of_the_top() -> None:
    assert set(TOP) == {"name", "version", "services", "volumes", "networks", "configs", "secrets"}


def test_ports() -> None:
    """The whole list of a service of which one port is changed; none of a service that is fine."""
    long: list[Json] = [
        {"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"},
        {"mode": "ingress", "host_ip": "127.0.0.1", "target": 81, "published": 8081, "protocol": "udp"},
        {"target": 82, "host_ip": "192.168.0.1", "published": "8082-8083"},
        "9:9",
    ]
    services: Object = {"app": {"ports": ["127.0.0.1:1:1"]}, "db": {"ports": long}, "none": {}}
    found = of({"services": services}, ("port:0.0.0.0:9",))
    assert found.findings == ()
    assert found.ports == {"db": ("127.0.0.1:8080:80", "127.0.0.1:8081:81/udp", "127.0.0.1:8082-8083:82", "0.0.0.0:9:9")}
    assert [note.rpartition("(")[2] for note in found.notes] == [
        "--grant port:0.0.0.0:8080 gives it)", "--grant port:192.168.0.1:8082-8083 gives it)",
    ]  # fmt: skip


def test_volumes_and_sources() -> None:
    services: Object = {"app": {"volumes": ["v:/v", "w:/w", ".:/x", "/anonymous"]}}
    found = of({"name": "p", "services": services, "volumes": {"v": None, "w": {"name": "mine"}}})
    assert found.volumes == ("p_v", "mine")
    assert found.sources == ("/w/f",)


def test_host_paths() -> None:
    """What the rim has to follow: mounts, builds, files."""
    volumes: list[Json] = ["/a:/x", {"type": "bind", "source": "/b", "target": "/x"}, "v:/v"]
    services: Object = {"app": {"volumes": volumes, "env_file": "e", "build": {"context": "/c"}}}
    config = json.dumps({"services": services, "secrets": {"s": {"file": "/d"}}}).encode()
    assert host_paths(config, "/w/f") == ("/a", "/b", "/w/f/e", "/c", "/d")


@pytest.mark.parametrize(
    "config",
    [b"", b"[]", b"services: {}", b"services: {other: {image: x}}", b"services: 7", b"\xff", b"a: [", b"services: {app: {a: !x 1}}", b"{"],
)
def test_unreadable(config: bytes) -> None:
    with pytest.raises(ConfigError):
        judge(config, "app", GROUND, NONE)


@pytest.mark.parametrize("values", [None, 7, "x", [], ["privileged"]])
def test_a_service_that_is_none(values: Json) -> None:
    """Compose would refuse it: it is nothing here."""
    assert isinstance(of({"services": {"app": values}}), ComposeVerdict)


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)


_VALUES = st.dictionaries(st.sampled_from(sorted(SERVICE)), _JSON, max_size=4)


@given(_VALUES, st.dictionaries(st.sampled_from(sorted(TOP)), _JSON, max_size=3))
def test_anything_is_answered(service: Object, top: Object) -> None:
    config = yaml.safe_dump({**top, "services": {"app": service}}).encode()
    with suppress(AienvError):
        host_paths(config)
        judge(config, "app", GROUND, NONE)
