"""Things of somebody else, lists, modes, networks, builds, and what belongs to the whole daemon."""



from collections.abc import Iterator

from tests.integration.guard.attacks.row import CREATE, PLAIN, Row, V, calls, http, tar


def others() -> Iterator[Row]:
    C, F = f"{V}/containers", f"{V}/containers/@FOREIGN@"
    reads = {
        "json": "json",
        "logs": "logs?stdout=1",
        "top": "top",
        "stats": "stats?stream=0",
        "changes": "changes",
        "export": "export",
        "archive": "archive?path=/etc/hosts",
    }
    forms = {"": "@FOREIGN@", "-name": "@FOREIGNNAME@", "-short": "@FOREIGNSHORT@", "-two": "@FOREIGNTWO@"}
    yield from calls(
        "ownership", {f"read-{name}{form}": ("GET", f"{C}/{text}/{end}") for name, end in reads.items() for form, text in forms.items()}
    )
    yield from calls("ownership", {f"readonly-{name}": ("GET", f"{F}/{end}") for name, end in reads.items()}, mode="readonly")
    lists = {
        "containers": f"{C}/json?all=1",
        "containers-filter": f'{C}/json?all=1&filters={{"label":["project=ledger"]}}'.replace('"', "%22")
        .replace("{", "%7B")
        .replace("}", "%7D")
        .replace("[", "%5B")
        .replace("]", "%5D"),
        "containers-before": f"{C}/json?before=@FOREIGN@",
        "containers-limit": f"{C}/json?limit=100&size=1",
        "images": f"{V}/images/json?all=1",
        "images-digests": f"{V}/images/json?digests=1",
        "networks": f"{V}/networks",
        "volumes": f"{V}/volumes",
        "df": f"{V}/system/df",
        "info": f"{V}/info",
        "events": f"{V}/events?since=1&until=9",
        "events-all": f"{V}/events?since=1&until=@NOW@",
        "events-image": f"{V}/events?since=1&until=@NOW@&filters=%7B%22type%22%3A%5B%22image%22%5D%7D",
        "default-bridge": f"{V}/networks/bridge",
        "network-verbose": f"{V}/networks/@OWNNET@?verbose=1",
    }
    yield from calls("filter", {f"list-{name}": ("GET", target) for name, target in lists.items()}, wins="leak", tamed=True)
    yield from calls(
        "filter", {f"readonly-list-{name}": ("GET", target) for name, target in lists.items()}, wins="leak", tamed=True, mode="readonly"
    )
    writes = {
        "start": ("POST", "start"),
        "stop": ("POST", "stop?t=0"),
        "restart": ("POST", "restart?t=0"),
        "kill": ("POST", "kill"),
        "kill-hup": ("POST", "kill?signal=HUP"),
        "pause": ("POST", "pause"),
        "unpause": ("POST", "unpause"),
        "rename": ("POST", "rename?name=@EVIL@"),
        "update": ("POST", "update", {"Memory": 8 << 20}),
        "resize": ("POST", "resize?h=1&w=1"),
        "wait": ("POST", "wait?condition=not-running"),
        "exec": ("POST", "exec", {"Cmd": ["id"], "AttachStdout": True}),
        "attach": ("POST", "attach?logs=1&stdout=1"),
        "put": ("PUT", "archive?path=/tmp", b"\0" * 1024),
        "head": ("HEAD", "archive?path=/etc"),
        "checkpoint": ("POST", "checkpoints", {"CheckpointID": "x", "CheckpointDir": "/etc"}),
        "delete": ("DELETE", "?force=1&v=1"),
    }
    yield from calls(
        "ownership", {f"write-{name}": (method, f"{F}/{end}".replace("/?", "?"), *rest) for name, (method, end, *rest) in writes.items()}
    )
    yield from calls(
        "ownership",
        {
            f"write-name-{name}": (method, f"{C}/@FOREIGNNAME@/{end}".replace("/?", "?"), *rest)
            for name, (method, end, *rest) in writes.items()
            if name in ("start", "exec", "put", "attach", "update")
        },
    )
    own = f"{C}/@OWN@"
    yield from calls(
        "mode",
        {
            f"readonly-own-{name}": (method, f"{own}/{end}".replace("/?", "?"), *rest)
            for name, (method, end, *rest) in writes.items()
            if name != "head"
        },
        mode="readonly",
    )
    yield from calls(
        "mode",
        {
            "readonly-create": ("POST", CREATE, {**PLAIN, "HostConfig": {}}),
            "readonly-volume": ("POST", f"{V}/volumes/create", {"Name": "@EVIL@"}),
            "readonly-network": ("POST", f"{V}/networks/create", {"Name": "@EVIL@"}),
            "readonly-build": ("POST", f"{V}/build?t=x", b"\0" * 1024),
            "readonly-pull": ("POST", f"{V}/images/create?fromImage=@IMAGENAME@&tag=latest"),
            "readonly-prune": ("POST", f"{C}/prune"),
            "readonly-tag": ("POST", f"{V}/images/@IMAGE@/tag?repo=x&tag=1"),
            "readonly-swarm": ("POST", f"{V}/swarm/init", {}),
            "readonly-export-own": ("GET", f"{own}/export"),
            "readonly-archive-own": ("GET", f"{own}/archive?path=/"),
            "readonly-save": ("GET", f"{V}/images/@IMAGE@/get"),
            "readonly-session": ("POST", f"{V}/session"),
        },
        mode="readonly",
    )
    execs = {
        "privileged": {"Privileged": True},
        "privileged-fold": {"privileged": True},
        "unknown": {"Surprise": 1},
        "user-number": {"User": 0},
    }
    yield from calls("exec", {f"exec-{name}": ("POST", f"{own}/exec", {"Cmd": ["id"], **more}) for name, more in execs.items()})
    yield from calls(
        "exec",
        {
            "exec-twice": ("POST", f"{own}/exec", '{"Cmd":["id"],"Privileged":true,"Privileged":false}'),
            "exec-trailing": ("POST", f"{own}/exec", '{"Cmd":["id"],"Privileged":true}{}'),
            "exec-foreign-inspect": ("GET", f"{V}/exec/@FEXEC@/json"),
            "exec-foreign-resize": ("POST", f"{V}/exec/@FEXEC@/resize?h=1&w=1"),
        },
    )
    updates = {
        "device": {"Devices": [{"PathOnHost": "/dev/vda"}]},
        "rule": {"DeviceCgroupRules": ["a *:* rwm"]},
        "memory": {"Memory": 1 << 50, "MemorySwap": -1},
        "pids": {"PidsLimit": -1},
        "privileged": {"Privileged": True},
        "binds": {"Binds": ["/:/x"]},
        "cpu": {"NanoCpus": 10**15},
        "cgroup": {"CgroupParent": "/"},
    }
    yield from calls("update", {f"update-{name}": ("POST", f"{own}/update", body) for name, body in updates.items()})
    N = f"{V}/networks"
    networks = {
        "macvlan": {"Driver": "macvlan", "Options": {"parent": "eth0"}},
        "ipvlan": {"Driver": "ipvlan", "Options": {"parent": "lo"}},
        "host": {"Driver": "host"},
        "overlay": {"Driver": "overlay"},
        "plugin": {"Driver": "weave"},
        "bridge-name": {"Options": {"com.docker.network.bridge.name": "evil0"}},
        "gateway-mode": {"Options": {"com.docker.network.bridge.host_binding_ipv4": "0.0.0.0"}},
        "mtu-unknown": {"Options": {"com.docker.network.surprise": "1"}},
        "public": {"IPAM": {"Config": [{"Subnet": "8.8.8.0/24"}]}},
        "metadata": {"IPAM": {"Config": [{"Subnet": "169.254.169.0/24"}]}},
        "default-route": {"IPAM": {"Config": [{"Subnet": "0.0.0.0/1"}]}},
        "loopback": {"IPAM": {"Config": [{"Subnet": "127.0.0.0/8"}]}},
        "ipam-driver": {"IPAM": {"Driver": "evil"}},
        "ipam-options": {"IPAM": {"Options": {"x": "y"}}},
        "swarm": {"Scope": "swarm"},
        "ingress": {"Ingress": True},
        "config-from": {"ConfigFrom": {"Network": "@NET@"}},
        "config-only": {"ConfigOnly": True},
        "six": {"EnableIPv6": True, "IPAM": {"Config": [{"Subnet": "2001:db8::/64"}]}},
        "unknown": {"Surprise": True},
    }
    yield from calls(
        "networks", {f"network-{name}": ("POST", f"{N}/create", {"Name": "@EVIL@", **body}) for name, body in networks.items()}
    )
    yield from calls(
        "networks",
        {
            "network-fold": ("POST", f"{N}/create", {"Name": "@EVIL@", "driver": "macvlan", "options": {"parent": "lo"}}),
            "network-twice": ("POST", f"{N}/create", '{"Name":"@EVIL@","Options":{"com.docker.network.bridge.name":"evil1"},"Options":{}}'),
            "connect-foreign-network": ("POST", f"{N}/@NET@/connect", {"Container": "@OWN@"}),
            "connect-foreign-container": ("POST", f"{N}/@OWNNET@/connect", {"Container": "@FOREIGN@"}),
            "connect-foreign-name": ("POST", f"{N}/@OWNNET@/connect", {"Container": "@FOREIGNNAME@"}),
            "connect-bridge": ("POST", f"{N}/bridge/connect", {"Container": "@OWN@"}),
            "connect-host": ("POST", f"{N}/host/connect", {"Container": "@OWN@"}),
            "disconnect-foreign": ("POST", f"{N}/@NET@/disconnect", {"Container": "@FOREIGN@", "Force": True}),
            "disconnect-foreign-own": ("POST", f"{N}/@OWNNET@/disconnect", {"Container": "@FOREIGN@"}),
            "inspect-foreign-network": ("GET", f"{N}/@NET@"),
            "inspect-foreign-network-id": ("GET", f"{N}/@NETID@"),
            "remove-foreign-network": ("DELETE", f"{N}/@NET@"),
            "connect-fold": ("POST", f"{N}/@OWNNET@/connect", {"container": "@FOREIGN@"}),
            "remove-bridge": ("DELETE", f"{N}/bridge"),
        },
    )
    yield from calls(
        "prune",
        {f"prune-{kind}": ("POST", f"{V}/{kind}/prune") for kind in ("containers", "networks", "volumes", "images")},
        wins="made",
        tamed=True,
    )
    yield from calls(
        "prune",
        {
            "prune-label": ("POST", f"{C}/prune?filters=%7B%22label%22%3A%5B%22project%3Dledger%22%5D%7D"),
            "prune-label-not": ("POST", f"{C}/prune?filters=%7B%22label%21%22%3A%5B%22dev.aienv.run%22%5D%7D"),
        },
        wins="made",
        tamed=True,
    )
    yield from calls("daemon", {"build-prune": ("POST", f"{V}/build/prune")}, wins="made", tamed=True)  # answered by the guard itself
    queries = {
        "network-host": "networkmode=host",
        "network-container": "networkmode=container:@FOREIGN@",
        "network-foreign": "networkmode=@NET@",
        "cgroup-parent": "cgroupparent=/",
        "remote": "remote=http://10.0.0.1/x.tar",
        "remote-git": "remote=git://10.0.0.1/x",
        "buildkit": "version=2",
        "buildkit-session": "version=2&session=x",
        "tag-allowed": "t=@IMAGE@",
        "tag-two": "t=mine:1&t=@IMAGE@",
        "tag-foreign": "t=@FIMAGE@",
        "dockerfile-up": "dockerfile=../Dockerfile",
        "dockerfile-absolute": "dockerfile=/etc/passwd",
        "extra-hosts": "extrahosts=h:host-gateway",
        "security": "securityopt=seccomp%3Dunconfined",
        "isolation": "isolation=hyperv",
        "outputs": "outputs=%5B%7B%22Type%22%3A%22local%22%7D%5D&version=2",
        "unknown": "surprise=1",
        "memory": "memory=1125899906842624",
        "ulimits-shm": "shmsize=1125899906842624",
        "network-twice": "networkmode=none&networkmode=host",
        "squash-platform": "platform=linux/amd64&target=x&allow=network.host",
    }
    yield from (
        Row(
            f"build-{name}",
            "build",
            http("POST", f"{V}/build?{query}", tar(f"FROM @IMAGE@\nLABEL evil={name}\n"), kind="application/x-tar"),
            core=False,
        )
        for name, query in queries.items()
    )
    files = {
        "from-foreign": "FROM @FIMAGE@\n",
        "from-foreign-id": "FROM @FIMAGEID@\n",
        "copy-from": "FROM @IMAGE@\nCOPY --from=@FIMAGE@ / /x\n",
        "arg-from": "ARG B=@FIMAGE@\nFROM $B\n",
        "arg-nested": "ARG A=@FIMAGENAME@\nFROM ${A:-x}:1\n",
        "run-mount": "FROM @IMAGE@\nRUN --mount=type=bind,from=@FIMAGE@,target=/x ls /x\n",
        "add-url": "FROM @IMAGE@\nADD http://10.0.0.1/x /x\n",
        "from-continued": "FROM \\\n@FIMAGE@\n",
        "from-lower": "from @FIMAGE@\n",
        "escape-directive": "# escape=`\nFROM `\n@FIMAGE@\n",
        "from-tab": "FROM\t@FIMAGE@\n",
        "onbuild": "FROM @IMAGE@\nONBUILD COPY --from=@FIMAGE@ / /x\n",
        "stage-shadow": "FROM @IMAGE@ AS a\nFROM @FIMAGE@ AS b\nCOPY --from=a / /\n",
        "copy-index": "FROM @IMAGE@\nCOPY --from=9 / /x\n",
        "bom": "\ufeffFROM @FIMAGE@\n",
        "heredoc": "FROM @IMAGE@\nCOPY <<E /x\nE\nFROM @FIMAGE@\n",
        "crlf": "FROM @FIMAGE@\r\n",
    }
    yield from (
        Row(
            f"dockerfile-{name}",
            "build",
            http("POST", f"{V}/build?t=@EVIL@", tar(text), kind="application/x-tar"),
            wins="made",
            tamed=True,
            core=False,
        )
        for name, text in files.items()
    )
    yield Row(
        "build-cache-from",
        "build",
        http("POST", f"{V}/build?t=@EVIL@&cachefrom=%5B%22@FIMAGE@%22%5D", tar("FROM @IMAGE@\nCMD true\n"), kind="application/x-tar"),
        wins="made",
        tamed=True,
        core=False,
    )
    yield Row(
        "dockerfile-second",
        "build",
        http("POST", f"{V}/build?t=@EVIL@", tar("FROM @IMAGE@\n", "FROM @FIMAGE@\n"), kind="application/x-tar"),
        wins="made",
        tamed=True,
        core=False,
    )
    yield Row(
        "ok-build",
        "build",
        http("POST", f"{V}/build?t=ok-built:1&rm=1", tar("FROM @IMAGE@\nLABEL a=b\n"), kind="application/x-tar"),
        attack=False,
        core=False,
    )
    daemon = {
        "swarm-init": ("POST", "swarm/init", {"ListenAddr": "127.0.0.1"}),
        "swarm-join": ("POST", "swarm/join", {}),
        "swarm-get": ("GET", "swarm"),
        "services": ("GET", "services"),
        "service-create": (
            "POST",
            "services/create",
            {"TaskTemplate": {"ContainerSpec": {"Image": "x", "Mounts": [{"Type": "bind", "Source": "/", "Target": "/x"}]}}},
        ),
        "secrets": ("GET", "secrets"),
        "secret-create": ("POST", "secrets/create", {"Name": "x", "Data": "eA=="}),
        "configs": ("GET", "configs"),
        "nodes": ("GET", "nodes"),
        "tasks": ("GET", "tasks"),
        "plugins": ("GET", "plugins"),
        "plugin-pull": ("POST", "plugins/pull?remote=10.0.0.1/x", []),
        "plugin-create": ("POST", "plugins/create?name=x", b""),
        "checkpoints": ("GET", "containers/@OWN@/checkpoints?dir=/etc"),
        "libpod": ("GET", "libpod/containers/json"),
        "container-update-all": ("POST", "containers/update", {}),
    }
    yield from calls("daemon", {f"daemon-{name}": (method, f"{V}/{end}", *rest) for name, (method, end, *rest) in daemon.items()})
    yield from calls(
        "daemon",
        {
            "debug-vars": ("GET", "/debug/vars"),
            "debug-pprof": ("GET", "/debug/pprof/cmdline"),
            "debug-heap": ("GET", "/debug/pprof/heap"),
            "metrics": ("GET", "/metrics"),
            "root": ("GET", "/"),
            "trace": ("TRACE", "/_ping"),
            "options": ("OPTIONS", f"{C}/json"),
            "connect": ("CONNECT", "10.0.0.1:80"),
            "patch": ("PATCH", own),
        },
    )
    label = {**PLAIN, "HostConfig": {}, "Labels": {"dev.aienv.run": "other", "dev.aienv.managed": "0"}}
    yield Row("labels-forged", "labels", http("POST", CREATE, label), wins="container", tamed=True)
    yield from calls(
        "ok",
        {
            "ok-inspect": ("GET", f"{own}/json"),
            "ok-inspect-name": ("GET", f"{C}/@OWNNAME@/json"),
            "ok-logs": ("GET", f"{own}/logs?stdout=1&stderr=1&tail=all"),
            "ok-stats": ("GET", f"{own}/stats?stream=0"),
            "ok-changes": ("GET", f"{own}/changes"),
            "ok-export": ("GET", f"{own}/export"),
            "ok-archive": ("GET", f"{own}/archive?path=/bin/busybox"),
            "ok-stat": ("HEAD", f"{own}/archive?path=/bin"),
            "ok-exec": ("POST", f"{own}/exec", {"Cmd": ["true"], "AttachStdout": True, "Privileged": False, "Env": None}),
            "ok-update": ("POST", f"{own}/update", {"Memory": 128 << 20, "MemorySwap": 128 << 20}),
            "ok-list": ("GET", f"{C}/json"),
            "ok-list-all": ("GET", f"{C}/json?all=1"),
            "ok-networks": ("GET", N),
            "ok-network-inspect": ("GET", f"{N}/@OWNNET@"),
            "ok-network-create": (
                "POST",
                f"{N}/create",
                {
                    "Name": "ok-made-network",
                    "CheckDuplicate": True,
                    "Driver": "bridge",
                    "Internal": False,
                    "Attachable": False,
                    "Ingress": False,
                    "IPAM": {"Driver": "default", "Options": {}, "Config": []},
                    "Options": {},
                    "Labels": {},
                },
            ),
            "ok-volumes": ("GET", f"{V}/volumes"),
            "ok-events": ("GET", f"{V}/events?since=1&until=@NOW@"),
            "ok-info": ("GET", f"{V}/info"),
            "ok-df": ("GET", f"{V}/system/df"),
            "ok-resize": ("POST", f"{own}/resize?h=10&w=10"),
            "ok-pause": ("POST", f"{own}/pause"),
            "ok-unpause": ("POST", f"{own}/unpause"),
            "ok-restart": ("POST", f"{own}/restart?t=0"),
            "ok-rename": ("POST", f"{own}/rename?name=@OWNNAME@-2"),
            "ok-rename-back": ("POST", f"{own}/rename?name=@OWNNAME@"),
        },
        attack=False,
    )
    yield from calls(
        "ok",
        {
            "readonly-ok-ping": ("GET", "/_ping"),
            "readonly-ok-version": ("GET", f"{V}/version"),
            "readonly-ok-info": ("GET", f"{V}/info"),
            "readonly-ok-list": ("GET", f"{C}/json"),
            "readonly-ok-images": ("GET", f"{V}/images/json"),
        },
        attack=False,
        mode="readonly",
    )
