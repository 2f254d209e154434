"""HostConfig: one row per field, and the nearest value that passes."""

import pytest

from orchestrator.guard.calls import Json, Object
from orchestrator.guard.host_config import CAPABILITIES, HOST_CONFIG, SYSCTLS, ULIMITS
from tests.unit.guard.bodies import DB, LIMITS, host, refused

LOG = {"max-size": "20480k", "max-file": "3"}  # of those that ask for nothing
MOST = {"max-size": "102400k", "max-file": "5"}

GIB = 1 << 30

REFUSED: list[tuple[str, Json, str]] = [
    ("Privileged", True, "create.privileged"),
    ("Privileged", "true", "create.privileged"),
    ("Privileged", 1, "create.privileged"),
    ("CapAdd", ["ALL"], "create.capability"),
    ("CapAdd", ["all"], "create.capability"),
    ("CapAdd", ["SYS_ADMIN"], "create.capability"),
    ("CapAdd", ["cap_sys_admin"], "create.capability"),
    ("CapAdd", ["CAP_SYS_PTRACE"], "create.capability"),
    ("CapAdd", ["NET_ADMIN"], "create.capability"),
    ("CapAdd", ["NET_RAW"], "create.capability"),
    ("CapAdd", ["mknod"], "create.capability"),
    ("Sysctls", {"net.ipv6.conf.all.disable_ipv6": "0"}, "create.sysctl"),
    ("CapAdd", ["CHOWN", "CAP_net_raw"], "create.capability"),
    ("CapAdd", [" CHOWN"], "create.capability"),
    ("CapAdd", [""], "create.capability"),
    ("CapAdd", "ALL", "body.type"),
    ("CapAdd", [None], "body.type"),
    ("CapAdd", {"0": "ALL"}, "body.type"),
    ("CapDrop", ["a b"], "create.capability"),
    ("Capabilities", ["ALL"], "create.capability"),
    ("SecurityOpt", ["seccomp=unconfined"], "create.security"),
    ("SecurityOpt", ["seccomp:unconfined"], "create.security"),
    ("SecurityOpt", ["apparmor=unconfined"], "create.security"),
    ("SecurityOpt", ["label=disable"], "create.security"),
    ("SecurityOpt", ["systempaths=unconfined"], "create.security"),
    ("SecurityOpt", ["no-new-privileges:false"], "create.security"),
    ("SecurityOpt", ["no-new-privileges=false"], "create.security"),
    ("SecurityOpt", ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}'], "create.security"),
    ("SecurityOpt", ["no-new-privileges", "seccomp=unconfined"], "create.security"),
    ("SecurityOpt", [""], "create.security"),
    ("MaskedPaths", [], "create.masks"),
    ("MaskedPaths", ["/proc/kcore"], "create.masks"),
    ("ReadonlyPaths", [], "create.masks"),
    ("Devices", [{"PathOnHost": "/dev/vda"}], "create.device"),
    ("Devices", [{}], "create.device"),
    ("DeviceCgroupRules", ["b *:* rwm"], "create.device"),
    ("DeviceRequests", [{"Count": -1}], "create.device"),
    ("BlkioWeight", 500, "create.device"),
    ("BlkioWeightDevice", [{"Path": "/dev/vda", "Weight": 1}], "create.device"),
    ("BlkioDeviceReadBps", [{"Path": "/dev/vda", "Rate": 1}], "create.device"),
    ("BlkioDeviceWriteBps", [{"Path": "/dev/vda", "Rate": 1}], "create.device"),
    ("BlkioDeviceReadIOps", [{"Path": "/dev/vda", "Rate": 1}], "create.device"),
    ("BlkioDeviceWriteIOps", [{"Path": "/dev/vda", "Rate": 1}], "create.device"),
    ("PidMode", "host", "create.namespace"),
    ("PidMode", "private", "create.namespace"),
    ("PidMode", "container:foreign", "missing"),
    ("PidMode", "container:", "missing"),
    ("PidMode", "Container:db", "create.namespace"),
    ("IpcMode", "host", "create.namespace"),
    ("IpcMode", "container:foreign", "missing"),
    ("UTSMode", "host", "create.namespace"),
    ("UTSMode", "container:db", "create.namespace"),
    ("UsernsMode", "host", "create.namespace"),
    ("CgroupnsMode", "host", "create.namespace"),
    ("Cgroup", "container:db", "create.namespace"),
    ("NetworkMode", "host", "create.namespace"),
    ("NetworkMode", "foreign", "missing"),
    ("NetworkMode", "container:foreign", "missing"),
    ("NetworkMode", "HOST", "missing"),
    ("NetworkMode", ["host"], "body.type"),
    ("Isolation", "hyperv", "create.runtime"),
    ("Runtime", "sysbox-runc", "create.runtime"),
    ("Runtime", "runc", "create.runtime"),
    ("Annotations", {"run.oci": "x"}, "create.runtime"),
    ("CgroupParent", "/", "create.cgroup"),
    ("Sysctls", {"kernel.core_pattern": "|/x"}, "create.sysctl"),
    ("Sysctls", {"net.ipv4.ip_forward": "1"}, "create.sysctl"),
    ("Sysctls", {"net/core/somaxconn": "1"}, "create.sysctl"),
    ("Sysctls", {"net.core.somaxconn": "1;2"}, "create.sysctl"),
    ("Sysctls", {"net.core.somaxconn": 1}, "body.type"),
    ("OomScoreAdj", -1, "body.range"),
    ("OomScoreAdj", 1001, "body.range"),
    ("OomKillDisable", True, "create.limits"),
    ("CpuRealtimePeriod", 1000, "create.limits"),
    ("CpuRealtimeRuntime", 1000, "create.limits"),
    ("CpuShares", 2048, "body.range"),
    ("CpusetCpus", "0-1;", "body.value"),
    ("KernelMemory", GIB, "create.limits"),
    ("KernelMemoryTCP", GIB, "create.limits"),
    ("Memory", -1, "body.range"),
    ("Memory", 1.5, "body.type"),
    ("Memory", "1g", "body.type"),
    ("Memory", True, "body.type"),
    ("MemorySwap", -1, "body.range"),
    ("MemorySwap", GIB // 4, "create.limits"),
    ("MemoryReservation", 2 * GIB, "create.limits"),
    ("MemorySwappiness", 101, "body.range"),
    ("PidsLimit", -1, "body.range"),
    ("CpuQuota", -1, "body.range"),
    ("NanoCpus", -1, "body.range"),
    ("ShmSize", 2 * GIB, "create.limits"),
    ("StorageOpt", {"size": "1g"}, "create.storage"),
    ("VolumeDriver", "nfs", "volume.driver"),
    ("VolumesFrom", ["foreign"], "missing"),
    ("VolumesFrom", ["foreign:ro"], "missing"),
    ("VolumesFrom", ["db:z"], "create.volumes-from"),
    ("Links", ["foreign:db"], "missing"),
    ("Links", ["db:aienv-egress"], "network.alias"),
    ("Links", ["db:a:b"], "network.link"),
    ("LogConfig", {"Type": "syslog"}, "create.log"),
    ("LogConfig", {"Type": "fluentd", "Config": {"mode": "blocking"}}, "create.log"),
    ("LogConfig", {"Type": "", "Config": {"fluentd-address": "unix:///x"}}, "body.unknown"),
    ("LogConfig", {"Type": "json-file", "Config": {"tag": "{{json .}}"}}, "body.value"),
    ("LogConfig", {"type": "syslog"}, "body.case"),
    *(("LogConfig", {"Config": {"max-buffer-size": size}}, "body.range") for size in ("5m", "4097k", "4194305", "9999999")),
    *(("LogConfig", {"Config": {"max-buffer-size": size}}, "body.value") for size in ("1g", "", "-1", "1.5m")),
    ("RestartPolicy", {"Name": "sometimes"}, "body.value"),
    ("ExtraHosts", ["host.docker.internal:host-gateway"], "create.extra-host"),
    ("ExtraHosts", ["host.docker.internal=host-gateway"], "create.extra-host"),
    ("ExtraHosts", ["x:1.2.3.4\n5.6.7.8 y"], "create.extra-host"),
    ("ExtraHosts", ["x:fe80::1%eth0"], "create.extra-host"),
    ("ExtraHosts", ["x"], "create.extra-host"),
    ("GroupAdd", ["a\nb"], "body.value"),
    ("DnsSearch", ["a b"], "body.value"),
    ("DnsOptions", ["ndots:1\nnameserver 1.1.1.1"], "body.value"),
    ("Ulimits", [{"Name": "rtprio", "Soft": 99, "Hard": 99}], "create.ulimit"),
    ("Ulimits", [{"Name": "nofile", "Soft": 1, "Hard": 1 << 30}], "create.ulimit"),
    ("Ulimits", [{"Name": "other", "Soft": 1, "Hard": 1}], "create.ulimit"),
    ("Ulimits", [{"name": "nofile"}], "body.case"),
    ("CpuCount", 1, "body.not-allowed"),
    ("CpuPercent", 1, "body.not-allowed"),
    ("IOMaximumIOps", 1, "body.not-allowed"),
    ("IOMaximumBandwidth", 1, "body.not-allowed"),
    ("privileged", True, "body.case"),
    ("privileged", False, "body.case"),
    ("PRIVILEGED", None, "body.case"),
    ("Bind\u017f", ["/:/x"], "body.case"),
    ("Networ\u212aMode", "host", "body.case"),
    ("Next", {"a": {"b": 1}}, "body.unknown"),
]

PASSES: list[tuple[str, Json, Json]] = [
    ("Privileged", False, None),
    ("CapAdd", None, None),
    ("CapAdd", [], []),
    ("CapAdd", ["cap_chown", "SETFCAP"], ["CHOWN", "SETFCAP"]),
    ("CapDrop", None, ["MKNOD", "NET_RAW"]),
    ("CapDrop", ["CAP_CHOWN"], ["CHOWN", "MKNOD", "NET_RAW"]),
    ("CapDrop", ["all"], ["ALL"]),
    ("CapDrop", ["net_raw"], ["NET_RAW", "MKNOD"]),
    ("SecurityOpt", None, ["no-new-privileges"]),
    ("SecurityOpt", ["no-new-privileges:true"], ["no-new-privileges"]),
    ("SecurityOpt", ["no-new-privileges=true", "no-new-privileges"], ["no-new-privileges"]),
    ("MaskedPaths", None, None),
    ("ReadonlyPaths", None, None),
    ("Devices", [], None),
    ("DeviceRequests", None, None),
    ("BlkioWeight", 0, None),
    ("PidMode", "", None),
    ("PidMode", "container:db", f"container:{DB}"),
    ("IpcMode", "private", "private"),
    ("IpcMode", "shareable", "shareable"),
    ("IpcMode", f"container:{DB[:12]}", f"container:{DB}"),
    ("CgroupnsMode", "private", "private"),
    ("UTSMode", "", None),
    ("NetworkMode", "none", "none"),
    ("NetworkMode", "container:db", f"container:{DB}"),
    ("Runtime", "", None),
    ("CgroupParent", "", None),
    ("Isolation", "", None),
    ("Sysctls", {"net.ipv4.ip_local_port_range": "1024 65000"}, {"net.ipv4.ip_local_port_range": "1024 65000"}),
    ("OomScoreAdj", 500, 500),
    ("OomKillDisable", False, None),
    ("CpuShares", 512, 512),
    ("CpusetCpus", "0-1,3", "0-1,3"),
    ("Memory", GIB // 2, GIB // 2),
    ("MemorySwap", GIB // 2, GIB // 2),
    ("MemorySwappiness", -1, None),
    ("MemorySwappiness", 10, 10),
    ("MemoryReservation", GIB // 4, GIB // 4),
    ("PidsLimit", 0, LIMITS.container_pids),
    ("PidsLimit", 10, 10),
    ("ShmSize", 64 << 20, 64 << 20),
    ("StorageOpt", {}, None),
    ("VolumeDriver", "local", None),
    ("VolumesFrom", ["db:ro", "db"], [f"{DB}:ro", DB]),
    ("LogConfig", {"Type": "", "Config": {}}, {"Type": "json-file", "Config": LOG}),
    ("LogConfig", {"Type": "none", "Config": {}}, {"Type": "none", "Config": {}}),
    *(
        ("LogConfig", {"Type": "local", "Config": {"max-buffer-size": size}}, {"Type": "local", "Config": {"max-buffer-size": size, **LOG}})
        for size in ("4m", "4096K", "4194304")
    ),
    (
        "LogConfig",
        {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2", "tag": "{{.Name}}"}},
        {"Type": "json-file", "Config": {"max-size": "1024k", "max-file": "2", "tag": "{{.Name}}"}},
    ),
    *(
        ("LogConfig", {"Config": {"max-size": size, "max-file": "99"}}, {"Type": "json-file", "Config": MOST})
        for size in ("-1", "999999999g", "101m")
    ),
    ("RestartPolicy", {"Name": "always", "MaximumRetryCount": 0}, {"Name": "always", "MaximumRetryCount": 0}),
    ("ExtraHosts", ["x:1.2.3.4", "y=::1", "z:[fd00::1]"], ["x:1.2.3.4", "y:::1", "z:fd00::1"]),
    ("GroupAdd", ["0", "video"], ["0", "video"]),
    ("Dns", ["8.8.8.8"], ["127.0.0.1"]),
    ("DnsSearch", ["example.org"], ["example.org"]),
    ("Ulimits", [{"Name": "memlock", "Soft": -1, "Hard": -1}], [{"Name": "memlock", "Soft": -1, "Hard": -1}]),
    ("ConsoleSize", [0, 0], [0, 0]),
    ("AutoRemove", True, True),
    ("Init", False, False),
    ("ReadonlyRootfs", True, True),
    ("ContainerIDFile", "/tmp/x", None),
    ("Next", {"a": {"b": 0}, "c": []}, None),
    ("Next", None, None),
]


LOG = {"max-size": "20480k", "max-file": "3"}  # of those that ask for nothing


@pytest.mark.parametrize(("field", "value", "because"), [pytest.param(*row, id=f"{row[0]}={str(row[1])[:40]}") for row in REFUSED])
def test_refused(field: str, value: Json, because: str) -> None:
    """What would reach the machine, or somebody else's things."""
    assert refused({"HostConfig": {field: value}}).rule == because


@pytest.mark.parametrize(("field", "value", "forwarded"), [pytest.param(*row, id=f"{row[0]}={str(row[1])[:40]}") for row in PASSES])
def test_passes(field: str, value: Json, forwarded: Json) -> None:
    """The nearest that pass, and what becomes of them."""
    assert host({field: value}).get(field) == forwarded


@pytest.mark.parametrize("field", sorted(HOST_CONFIG))
def test_every_field_may_be_null(field: str) -> None:
    """Clients send all fields that they know."""
    assert host({field: None}) == host({})


@pytest.mark.parametrize("field", sorted(set(HOST_CONFIG) - {"NetworkMode"}))
def test_every_field_in_another_case(field: str) -> None:
    assert refused({"HostConfig": {field.upper() if field.upper() != field else field.lower(): None}}).rule == "body.case"


def test_rows_are_tested() -> None:
    """No field of the table is without a refusal here, or a value that passes."""
    said = {row[0] for row in REFUSED} | {row[0] for row in PASSES}
    elsewhere = {"Binds", "Mounts", "Tmpfs", "PortBindings", "PublishAllPorts", "CpusetMems", "CpuPeriod"}
    assert set(HOST_CONFIG) <= said | elsewhere


def test_tables_are_closed() -> None:
    assert not {"NET_RAW", "MKNOD"} & CAPABILITIES
    assert not {name for name in CAPABILITIES if name.startswith(("SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN", "DAC_READ"))}
    assert all(name.startswith(("net.", "kernel.msg", "kernel.shm", "kernel.sem")) for name in SYSCTLS)
    assert not {"rttime"} & set(ULIMITS)


def test_defaults() -> None:
    """Of a body that asks for nothing."""
    assert host({}) == {
        "Memory": LIMITS.container_memory_bytes, "MemorySwap": LIMITS.container_memory_bytes, "PidsLimit": LIMITS.container_pids,
        "CpuPeriod": 100_000, "CpuQuota": 400_000, "NetworkMode": "2" * 64,
        "CapDrop": ["MKNOD", "NET_RAW"], "SecurityOpt": ["no-new-privileges"],
        "Dns": ["127.0.0.1"], "DnsOptions": ["timeout:1", "attempts:1"], "LogConfig": {"Type": "json-file", "Config": LOG},
    }  # fmt: skip


@pytest.mark.parametrize(("asked", "expected"), [
    pytest.param({"NanoCpus": 500_000_000}, (100_000, 50_000), id="nano"),
    pytest.param({"CpuQuota": 20_000}, (100_000, 20_000), id="quota"),
    pytest.param({"CpuQuota": 20_000, "CpuPeriod": 10_000}, (10_000, 20_000), id="both"),
    pytest.param({"CpuPeriod": 10_000}, (100_000, 400_000), id="period-alone"),
])  # fmt: skip
def test_processors(asked: Object, expected: tuple[int, int]) -> None:
    """One way of saying it: the engine refuses to change one for the other."""
    found = host(asked)
    assert (found["CpuPeriod"], found["CpuQuota"]) == expected
    assert "NanoCpus" not in found


def test_processors_said_twice() -> None:
    assert refused({"HostConfig": {"NanoCpus": 1_000_000_000, "CpuQuota": 20_000}}).rule == "create.limits"
