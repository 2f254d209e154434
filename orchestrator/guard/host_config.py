"""HostConfig, field by field: what a container may ask of the machine. Pure.

The union of the fields of all versions up to the newest one that is spoken. One that is missing here is refused when it is set.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import cast

from orchestrator.guard.calls import Json, Known, Object, Usage, deny
from orchestrator.guard.endpoints import link, own, shared_with
from orchestrator.guard.fields import (
    FieldRule,
    each,
    flag,
    forbidden,
    ignored,
    mapping,
    matching,
    number,
    one_of,
    record,
    text,
    zero_or,
)
from orchestrator.model.guard import GuardLimits

NO_NEW_PRIVILEGES = "no-new-privileges"
CPU_PERIOD_US = 100_000
# Raw sockets forge addresses: of the proxy, of other containers. A device made in the workspace is one on the host, too, where no cgroup
# refuses to open it.
ALWAYS_DROPPED = ("MKNOD", "NET_RAW")
# The engine's own default, without these.
CAPABILITIES = frozenset([
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP",
    "SETUID", "SYS_CHROOT",
])  # fmt: skip
# Each belongs to the container's own network or ipc namespace, and spends only what its memory limit bounds. None of IPv6: the host
# has a link-local address at its end of every bridge.
SYSCTLS = frozenset([
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni",
    "net.core.somaxconn", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_max_syn_backlog", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_tw_reuse",
])  # fmt: skip
UNBOUNDED = (1 << 63) - 1
# (from, to). -1 is no limit where memory and pids limits bound it anyway; nice, rtprio and rttime would take time from others.
ULIMITS: Mapping[str, tuple[int, int]] = {
    "nofile": (0, 1 << 20), "nproc": (-1, UNBOUNDED), "core": (-1, UNBOUNDED), "cpu": (-1, UNBOUNDED), "data": (-1, UNBOUNDED),
    "fsize": (-1, UNBOUNDED), "locks": (-1, UNBOUNDED), "memlock": (-1, UNBOUNDED), "rss": (-1, UNBOUNDED), "stack": (-1, UNBOUNDED),
    "msgqueue": (0, 819_200), "sigpending": (0, 1 << 16), "nice": (0, 0), "rtprio": (0, 0),
}  # fmt: skip
LOG_SIZE, LOG_FILES = "20m", "3"
LOG_MOST_BYTES, LOG_MOST_FILES = 100 << 20, 5
LOG_DRIVERS = ("", "json-file", "local", "none")  # others speak from the engine's place, past the egress rules
LOG_BUFFER_BYTES = 4 << 20  # of the engine's own memory, for each container


def _log_buffer(value: Json, known: Known, path: str) -> Json:
    found = str(matching(r"[0-9]{1,7}[kmKM]?", "a size such as 1m")(value, known, path))
    if int(found.rstrip("kmKM")) * {"k": 1 << 10, "m": 1 << 20}.get(found[-1].lower(), 1) > LOG_BUFFER_BYTES:
        raise deny("body.range", f"{found} is out of bounds", field=path, allowed="up to 4m")
    return found


LOG_OPTIONS: Mapping[str, FieldRule] = {
    "max-size": matching(r"[0-9]{1,9}[kmgKMG]?|-1", "a size such as 10m"),
    "max-file": matching(r"[1-9][0-9]{0,3}", "a number of files"),
    "compress": one_of("true", "false"),
    "labels": text(1024),
    "env": text(1024),
    "mode": one_of("blocking", "non-blocking"),
    "max-buffer-size": _log_buffer,
    "tag": matching(r"(\{\{ ?\.(ID|FullID|Name|ImageID|ImageFullID|ImageName|DaemonName) ?\}\}|[A-Za-z0-9._/:-]){0,64}", "{{.Name}}"),
}

_PAIR = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]{0,252})[:=](.+)", re.ASCII)
_SYSCTL_VALUE = re.compile(r"[0-9]{1,19}([ \t]+[0-9]{1,19}){0,3}", re.ASCII)
_CAPABILITY = re.compile(r"(?:CAP_)?([A-Z_]{2,24})", re.ASCII)


def _namespace(*plain: str, shared: bool = False) -> FieldRule:
    """``plain``: values that pass; ``shared``: also ``container:`` with one of the session's own, forwarded by full id."""
    allowed = ", ".join([*filter(None, plain), *(["container:<own>"] if shared else [])]) or "leaving it out"

    def judged(value: Json, known: Known, path: str) -> Json:
        mode = str(text(256)(value, known, path))
        name = shared_with(mode) if shared else None
        if name is not None:
            return f"container:{own(known, 'container', name, path).id}"
        if mode and mode not in plain:
            raise deny("create.namespace", f"{mode!r} is not a namespace for containers of a session", field=path, allowed=allowed)
        return mode or None

    return judged


def _capability(value: Json, known: Known, path: str) -> str:
    match = _CAPABILITY.fullmatch(str(text(64)(value, known, path)).upper())
    if match is None:
        raise deny("create.capability", f"{value!r} is no capability", field=path, status=400)
    return match[1]


def _capability_to_add(value: Json, known: Known, path: str) -> str:
    name = _capability(value, known, path)
    if name not in CAPABILITIES:
        raise deny("create.capability", f"the capability {name[:24]} may not be added", field=path, allowed=", ".join(sorted(CAPABILITIES)))
    return name


def _sysctl(value: Json, known: Known, path: str) -> str:
    found = str(text(128)(value, known, path))
    if not _SYSCTL_VALUE.fullmatch(found):
        raise deny("create.sysctl", f"{found!r} is no value of a sysctl", field=path, allowed="numbers", status=400)
    return found


def extra_host(value: Json, known: Known, path: str) -> str:
    """``name:address``. The engine writes it to the container's own hosts file."""
    match = _PAIR.fullmatch(str(text(512)(value, known, path)))
    if match is None:
        raise deny("create.extra-host", f"{value!r} is no entry for a hosts file", field=path, allowed="name:address", status=400)
    name, address = match[1], match[2].removeprefix("[").removesuffix("]")
    if address == "host-gateway":
        raise deny("create.extra-host", "the machine itself is out of reach of a session's containers", field=path, allowed="an address")
    try:
        if "%" in address:
            raise ValueError(address)  # a zone: of an interface that is not there
        return f"{name}:{ipaddress.ip_address(address)}"
    except ValueError:
        raise deny("create.extra-host", f"{address[:80]!r} is no address", field=path, allowed="name:address", status=400) from None


def _ulimit(value: Json, known: Known, path: str) -> Object:
    found = cast(Object, record({"Name": text(32), "Soft": number(-1, UNBOUNDED), "Hard": number(-1, UNBOUNDED)})(value, known, path))
    name = str(found.get("Name", ""))
    if name not in ULIMITS:
        raise deny("create.ulimit", f"{name!r} may not be set", field=path, allowed=", ".join(sorted(ULIMITS)))
    low, high = ULIMITS[name]
    for which in ("Soft", "Hard"):
        if not low <= cast(int, found.setdefault(which, 0)) <= high:
            raise deny("create.ulimit", f"{name}={found[which]} is out of bounds", field=f"{path}.{which}", allowed=f"{low} to {high}")
    return found


def _security_opt(value: Json, known: Known, path: str) -> str:
    found = str(text(512)(value, known, path))
    if re.fullmatch(rf"{NO_NEW_PRIVILEGES}([:=]true)?", found) is None:
        raise deny("create.security", f"the security option {found[:80]!r} may not be set", field=path, allowed=NO_NEW_PRIVILEGES)
    return found


def _volumes_from(value: Json, known: Known, path: str) -> str:
    name, _, mode = str(text(512)(value, known, path)).partition(":")
    if mode not in ("", "ro", "rw"):
        raise deny("create.volumes-from", f"{mode!r} is no mode", field=path, allowed="ro, rw", status=400)
    return own(known, "container", name, path).id + (f":{mode}" if mode else "")


def _only_null(value: Json, known: Known, path: str) -> Json:
    allowed = "leaving it out (an empty list hides nothing)"
    raise deny("create.masks", "the paths that the engine hides stay hidden", field=path, allowed=allowed)


_DEVICES = forbidden("create.device", "devices of the machine are not for containers of a session")
_THROTTLE = forbidden("create.device", "a throttle names a device of the machine")
_REALTIME = forbidden("create.limits", "time on the processor before others is not given")
_WINDOWS = forbidden("body.not-allowed", "this field is for Windows containers")

RESTART: FieldRule = record({
    "Name": one_of("", "no", "always", "on-failure", "unless-stopped"),
    "MaximumRetryCount": number(0, 1 << 31),
})  # fmt: skip

# Of create and of update. Zero: unset, or unchanged.
RESOURCES: Mapping[str, FieldRule] = {
    "CpuShares": zero_or(number(2, 1024)),  # above 1024: before other people's containers
    "Memory": zero_or(number(1, 1 << 50)),
    "MemorySwap": zero_or(number(1, 1 << 50)),
    "MemoryReservation": zero_or(number(1, 1 << 50)),
    "MemorySwappiness": zero_or(number(1, 100), -1),
    "NanoCpus": zero_or(number(10_000_000, 1 << 50)),
    "CpuPeriod": zero_or(number(1000, 1_000_000)),
    "CpuQuota": zero_or(number(1000, 1 << 50)),
    "CpusetCpus": matching(r"[0-9,-]{0,256}", "numbers of processors"),
    "CpusetMems": matching(r"[0-9,-]{0,256}", "numbers of memory nodes"),
    "PidsLimit": zero_or(number(1, 1 << 22)),
    "CgroupParent": forbidden("create.cgroup", "the cgroup's place is the guard's to choose"),
    "BlkioWeight": _THROTTLE,
    "BlkioWeightDevice": _THROTTLE,
    "BlkioDeviceReadBps": _THROTTLE,
    "BlkioDeviceWriteBps": _THROTTLE,
    "BlkioDeviceReadIOps": _THROTTLE,
    "BlkioDeviceWriteIOps": _THROTTLE,
    "CpuRealtimePeriod": _REALTIME,
    "CpuRealtimeRuntime": _REALTIME,
    "Devices": _DEVICES,
    "DeviceCgroupRules": _DEVICES,
    "DeviceRequests": _DEVICES,
    "KernelMemory": forbidden("create.limits", "engines no longer take a limit of kernel memory"),
    "KernelMemoryTCP": forbidden("create.limits", "engines no longer take a limit of kernel memory"),
    "OomKillDisable": forbidden("create.limits", "a container that uses up its memory is ended"),
    "Ulimits": each(_ulimit, most=32),
    "CpuCount": _WINDOWS,
    "CpuPercent": _WINDOWS,
    "IOMaximumIOps": _WINDOWS,
    "IOMaximumBandwidth": _WINDOWS,
}

HOST_CONFIG: Mapping[str, FieldRule] = {
    **RESOURCES,
    # judged by guard.mounts and guard.ports, and written anew
    "Binds": ignored,
    "Mounts": ignored,
    "Tmpfs": ignored,
    "PortBindings": ignored,
    "PublishAllPorts": flag,
    # namespaces
    "NetworkMode": text(256),  # guard.endpoints
    "IpcMode": _namespace("private", "shareable", "none", shared=True),
    "PidMode": _namespace(shared=True),
    "UTSMode": _namespace(),
    "UsernsMode": _namespace(),
    "CgroupnsMode": _namespace("private"),
    "Cgroup": _namespace(),
    "Isolation": one_of("", "default", rule="create.runtime"),
    # rights
    "Privileged": forbidden("create.privileged", "a privileged container is the machine itself"),
    "CapAdd": each(_capability_to_add, most=64),
    "CapDrop": each(_capability, most=64),
    "Capabilities": forbidden("create.capability", "capabilities are added and dropped one by one"),
    "SecurityOpt": each(_security_opt, most=8),
    "MaskedPaths": _only_null,
    "ReadonlyPaths": _only_null,
    "Runtime": forbidden("create.runtime", "the runtime is the engine's own", allowed="leaving it out"),
    "Annotations": forbidden("create.runtime", "annotations steer the runtime"),
    "Sysctls": mapping(_sysctl, one_of(*sorted(SYSCTLS), rule="create.sysctl")),
    "GroupAdd": each(matching(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", "a group by name or number"), most=64),
    "OomScoreAdj": zero_or(number(1, 1000)),
    # names
    "Dns": ignored,  # nothing is asked outside, whoever is named
    "DnsOptions": each(matching(r"[a-z0-9-]{1,32}(:[0-9]{1,4})?", "options such as ndots:1"), most=16),
    "DnsSearch": each(matching(r"[A-Za-z0-9_.-]{1,253}", "a domain"), most=16),
    "ExtraHosts": each(extra_host, most=256),
    "Links": each(link, most=256),
    # the rest
    "VolumesFrom": each(_volumes_from, most=32),
    "VolumeDriver": one_of("", "local", rule="volume.driver"),
    "StorageOpt": forbidden("create.storage", "options of the storage driver may not be set"),
    "LogConfig": record({
        "Type": one_of(*LOG_DRIVERS, rule="create.log", reason="others speak from the engine's place"),
        "Config": record(LOG_OPTIONS),
    }),
    "RestartPolicy": RESTART,
    "AutoRemove": flag,
    "Init": flag,
    "ReadonlyRootfs": flag,
    "ShmSize": zero_or(number(1, 1 << 50)),
    "ConsoleSize": each(number(0, 1 << 16), most=2),
    "ContainerIDFile": ignored,
}  # fmt: skip


def drop_capabilities(dropped: Json) -> list[Json]:
    """With what no container has."""
    names = dropped if isinstance(dropped, list) else []
    return names if "ALL" in names else [*names, *(one for one in ALWAYS_DROPPED if one not in names)]


def bounded(found: Object, limits: GuardLimits) -> tuple[Object, Usage]:
    """The resources to forward of a new container, and its share. ``found``: judged by ``HOST_CONFIG``.

    One that asks for no processors gets at most the session's, and counts as none: contention slows it down and takes nothing away.
    """
    memory = _int(found, "Memory") or min(limits.container_memory_bytes, limits.memory_bytes)
    swap = _int(found, "MemorySwap") or memory  # else the engine would give as much swap again
    pids = _int(found, "PidsLimit") or min(limits.container_pids, limits.pids)
    _at_most(swap, "MemorySwap", memory, low=memory)
    for field in ("MemoryReservation", "ShmSize"):
        _at_most(_int(found, field), field, memory)
    cpu, cpus = processors(found)
    if not cpu:
        cpu = {"CpuPeriod": CPU_PERIOD_US, "CpuQuota": max(int(limits.cpus * CPU_PERIOD_US), 1000)}
    kept = {key: value for key, value in found.items() if key not in ("NanoCpus", "CpuPeriod", "CpuQuota")}
    return {**kept, **cpu, "Memory": memory, "MemorySwap": swap, "PidsLimit": pids}, Usage(1, swap, cpus, pids)


def processors(found: Object) -> tuple[Object, float]:
    """(CpuPeriod and CpuQuota, or nothing; processors). The engine refuses to change one way of saying it for the other: one is used."""
    nano, period, quota = (_int(found, key) for key in ("NanoCpus", "CpuPeriod", "CpuQuota"))
    if nano and (period or quota):
        raise deny("create.limits", "NanoCpus goes neither with CpuPeriod nor with CpuQuota", field="HostConfig.NanoCpus", status=400)
    if nano:
        period, quota = CPU_PERIOD_US, nano * CPU_PERIOD_US // 1_000_000_000
    if not quota:
        return {}, 0.0
    period = period or CPU_PERIOD_US
    return {"CpuPeriod": period, "CpuQuota": quota}, quota / period


def _at_most(amount: int, field: str, memory: int, *, low: int = 0) -> None:
    if amount and amount < low:
        raise deny("create.limits", f"{field} is less than Memory", field=f"HostConfig.{field}", allowed=f"at least {low}", status=400)
    if not low and amount > memory:
        raise deny("create.limits", f"{field} is more than the container's memory", field=f"HostConfig.{field}", allowed=f"up to {memory}")


def _int(found: Object, key: str) -> int:
    value = found.get(key)
    return value if isinstance(value, int) else 0


def bounded_log(asked: Json) -> Object:
    """Of the engine's files only so much: they lie on the machine's disk. ``asked``: judged by ``HOST_CONFIG``."""
    wanted = asked if isinstance(asked, dict) else {}
    kind = wanted.get("Type") or "json-file"
    given = wanted.get("Config")
    config = {key: value for key, value in given.items() if value != ""} if isinstance(given, dict) else {}
    if kind == "none":
        return {"Type": kind, "Config": {}}
    size, files = _bytes(str(config.get("max-size", LOG_SIZE))), int(str(config.get("max-file", LOG_FILES)))
    bounds = {"max-size": f"{min(size, LOG_MOST_BYTES) >> 10}k", "max-file": str(min(files, LOG_MOST_FILES))}
    return {"Type": kind, "Config": {**config, **bounds}}


def _bytes(text: str) -> int:
    """``-1`` is without limit; what is smaller than a KiB is one."""
    unit = text[-1:].lower()
    number = int(text[:-1] if unit in "kmg" else text)
    amount = number << {"k": 10, "m": 20, "g": 30}.get(unit, 0)
    return LOG_MOST_BYTES if number < 0 else max(amount, 1 << 10)
