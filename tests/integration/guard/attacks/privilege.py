"""Containers that would be the machine, join what is not theirs, or take more than their share."""



from collections.abc import Iterator

from tests.integration.guard.attacks.row import CREATE, PLAIN, Row, created, http, passes


def privilege() -> Iterator[Row]:
    container = {"-name": "container:@FOREIGNNAME@", "-id": "container:@FOREIGN@", "-short": "container:@FOREIGNSHORT@"}
    modes = ("PidMode", "NetworkMode", "IpcMode")
    yield from created("privilege", {f"host-{mode}": {mode: "host"} for mode in (*modes, "UTSMode", "UsernsMode", "CgroupnsMode")})
    yield from created("privilege", {f"join-{mode}{name}": {mode: value} for mode in modes for name, value in container.items()})
    yield from created(
        "privilege",
        {
            f"cap-{cap}": {"CapAdd": [cap]}
            for cap in (
                "SYS_ADMIN",
                "CAP_SYS_ADMIN",
                "sys_admin",
                "Cap_Sys_Admin",
                "ALL",
                "all",
                "SYS_PTRACE",
                "SYS_MODULE",
                "NET_ADMIN",
                "DAC_READ_SEARCH",
                "BPF",
                "SYS_RAWIO",
                "NET_RAW",
            )
        },
    )
    options = (
        "seccomp=unconfined",
        "seccomp:unconfined",
        "apparmor=unconfined",
        "apparmor:unconfined",
        "label=disable",
        "label:disable",
        "systempaths=unconfined",
        "no-new-privileges=false",
        'seccomp={"defaultAction":"SCMP_ACT_ALLOW"}',
        "label=type:spc_t",
        "seccomp=unconfined ",
    )
    yield from created("privilege", {f"security-{number}": {"SecurityOpt": [option]} for number, option in enumerate(options)})
    yield from created(
        "privilege",
        {
            "privileged": {"Privileged": True},
            "privileged-number": {"Privileged": 1},
            "masked": {"MaskedPaths": []},
            "readonly-paths": {"ReadonlyPaths": []},
            "masked-some": {"MaskedPaths": ["/x"]},
            "device": {"Devices": [{"PathOnHost": "/dev/vda", "PathInContainer": "/dev/x", "CgroupPermissions": "rwm"}]},
            "device-kvm": {"Devices": [{"PathOnHost": "/dev/kvm"}]},
            "device-rule": {"DeviceCgroupRules": ["b *:* rwm"]},
            "device-rule-c": {"DeviceCgroupRules": ["c 1:3 r"]},
            "device-request": {"DeviceRequests": [{"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}]},
            "sysctl-kernel": {"Sysctls": {"kernel.shm_rmid_forced": "1"}},
            "sysctl-core": {"Sysctls": {"kernel.core_pattern": "|/x"}},
            "runtime": {"Runtime": "other"},
            "cgroup-parent": {"CgroupParent": "/"},
            "cgroup-parent-system": {"CgroupParent": "/system.slice"},
            "oom-adj": {"OomScoreAdj": -1000},
            "oom-kill": {"OomKillDisable": True},
            "realtime": {"CpuRealtimeRuntime": 950000},
            "storage": {"StorageOpt": {"size": "1t"}},
            "cgroup-legacy": {"Cgroup": "container:@FOREIGNNAME@"},
            "annotations": {"Annotations": {"run.oci.keep_original_groups": "1"}},
            "links": {"Links": ["@FOREIGNNAME@:db"]},
            "links-id": {"Links": ["@FOREIGN@:db"]},
            "links-slash": {"Links": ["/@FOREIGNNAME@:/x/db"]},
            "ipc-shareable-other": {"IpcMode": "container:"},
            "pid-empty-container": {"PidMode": "container:"},
            "log-syslog": {"LogConfig": {"Type": "syslog", "Config": {"syslog-address": "udp://10.0.0.1:514"}}},
            "log-fluentd-unix": {
                "LogConfig": {"Type": "fluentd", "Config": {"fluentd-address": "unix://@ENGINE@/engine.sock", "fluentd-async": "true"}}
            },
            "log-gelf": {"LogConfig": {"Type": "gelf", "Config": {"gelf-address": "udp://10.0.0.1:1"}}},
            "log-splunk": {"LogConfig": {"Type": "splunk", "Config": {"splunk-url": "http://10.0.0.1", "splunk-token": "t"}}},
            "log-journald": {"LogConfig": {"Type": "journald", "Config": {}}},
            "log-plugin": {"LogConfig": {"Type": "grafana/loki", "Config": {}}},
            "memory-huge": {"Memory": 1 << 50},
            "cpus-huge": {"NanoCpus": 10**15},
            "pids-unlimited": {"PidsLimit": -1},
            "network-foreign": {"NetworkMode": "@NET@"},
            "network-foreign-id": {"NetworkMode": "@NETID@"},
            "memory-string": {"Memory": "1g"},
            "extra-gateway": {"ExtraHosts": ["h:host-gateway"]},
            "unknown-set": {"FieldOfTomorrow": {"x": 1}},
            "isolation": {"Isolation": "hyperv"},
            "blkio-device": {"BlkioDeviceReadBps": [{"Path": "/dev/vda", "Rate": 1}]},
            "init-path": {"InitPath": "/etc/passwd"},
            "cap-add-fold": {"capadd": ["SYS_ADMIN"]},
            "ulimit-core": {"Ulimits": [{"Name": "rtprio", "Soft": 99, "Hard": 99}]},
        },
        tamed=False,
    )
    endpoints = {"-name": {"@NET@": {}}, "-id": {"x": {"NetworkID": "@NETID@"}}, "-two": {"@OWNNET@": {}, "@NET@": {}}}
    for name, value in endpoints.items():
        yield Row(
            f"endpoints{name}",
            "privilege",
            http("POST", CREATE, {**PLAIN, "HostConfig": {}, "NetworkingConfig": {"EndpointsConfig": value}}),
            wins="container",
        )
    yield from created(
        "privilege",
        {
            "ports-any": {"PortBindings": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "18999"}]}},
            "ports-empty": {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": ""}]}},
            "ports-six": {"PortBindings": {"80/tcp": [{"HostIp": "::", "HostPort": ""}]}},
            "ports-all": {"PublishAllPorts": True},
            "dns-outside": {"Dns": ["8.8.8.8"]},
            "restart-always": {"RestartPolicy": {"Name": "always"}},
            "id-file": {"ContainerIDFile": "/etc/evil"},
        },
        tamed=True,
    )
    yield from passes(
        "privilege",
        {
            "ok-zeros": {
                "Privileged": False,
                "CapAdd": None,
                "CapDrop": None,
                "Binds": None,
                "MemorySwappiness": -1,
                "ConsoleSize": [0, 0],
                "VolumesFrom": None,
                "Devices": [],
                "OomKillDisable": False,
                "NetworkMode": "default",
                "PidMode": "",
                "MaskedPaths": None,
                "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
            },
            "ok-limits": {"Memory": 64 << 20, "NanoCpus": 500_000_000, "PidsLimit": 50},
            "ok-cap-default": {"CapAdd": ["CHOWN"]},
            "ok-cap-drop": {"CapDrop": ["ALL"]},
            "ok-no-new": {"SecurityOpt": ["no-new-privileges"]},
            "ok-no-network": {"NetworkMode": "none"},
            "ok-own-network": {"NetworkMode": "@OWNNET@"},
            "ok-join-own": {"NetworkMode": "container:@OWN@"},
            "ok-log": {"LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}}},
            "ok-hosts": {"ExtraHosts": ["a:10.0.0.1"]},
            "ok-init": {"Init": True},
            "ok-ipc": {"IpcMode": "private"},
            "ok-ulimit": {"Ulimits": [{"Name": "nofile", "Soft": 64, "Hard": 64}]},
            "ok-ports": {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}},
            "ok-unknown-empty": {"FieldOfTomorrow": None},
            "ok-root-read-only": {"ReadonlyRootfs": True},
            "ok-shm": {"ShmSize": 1 << 20},
            "ok-group": {"GroupAdd": ["100"]},
        },
    )
