"""What ``docker inspect`` shows of one container: what the client asked for, and nothing of the machine.

Where something else was forwarded than was asked (ports, sources of mounts, the network, variables), what was asked is said again. Pure.
"""

from dataclasses import dataclass

from orchestrator.guard.calls import Json, Object, Shown
from orchestrator.guard.shownmounts import asked_binds, asked_mounts, mount_points
from orchestrator.guard.view import (
    BRIDGE,
    HIDDEN,
    Ports,
    ShownContainer,
    Table,
    View,
    among,
    chosen,
    constant,
    keeping,
    labels,
    objects,
    strings,
)

CONTAINER_MODE = "container:"
LOCAL_DRIVERS = ("json-file", "local", "none")  # the options of others name servers


@dataclass(frozen=True, slots=True)
class Of:
    """One container. ``made``: what is known when a client made it; None: it was there before."""

    view: View
    made: ShownContainer | None
    running: bool = False

    @property
    def shown(self) -> Shown:
        return self.made.shown if self.made is not None else Shown()

    @property
    def asked(self) -> Shown | None:
        return self.made.shown if self.made is not None else None

    @property
    def engine_publishes(self) -> bool:
        """On a network that the user named, Docker itself opens the ports."""
        return not self.view.session.own_network


def of(answer: Object, view: View) -> Of:
    full_id, state = answer.get("Id"), answer.get("State")
    running = state == "running" or (isinstance(state, dict) and state.get("Running") is True)
    return Of(view, view.containers.get(full_id) if isinstance(full_id, str) else None, running)


# --- containers ------------------------------------------------------------------------------------------------------------------


def show_container(answer: Object, view: View) -> Object:
    """Nothing of one that is not the client's, although nobody should have asked for it."""
    if not view.has_container(answer.get("Id")):
        return {}
    context = of(answer, view)
    shown = chosen(answer, CONTAINER, context)
    settings, config = shown.get("NetworkSettings"), shown.get("Config")
    if isinstance(settings, dict) and "Ports" in settings:
        exposed = config.get("ExposedPorts") if isinstance(config, dict) else None
        settings["Ports"] = open_ports(settings["Ports"], exposed, context)
    return shown


def image_id(value: Json, context: Of) -> Json:
    """Of a container that a client made it was allowed; of another one it may be somebody's."""
    return value if context.made is not None or among(value, context.view.images) else ""


def image_name(value: Json, context: Of) -> Json:
    return context.shown.image or value


def network_mode(value: Json, context: Of) -> Json:
    """Raises nothing: a mode that cannot be told is ``default``."""
    if context.shown.network_mode:
        return context.shown.network_mode
    if value in ("none", ""):
        return value
    name = context.view.network_name(value)
    if isinstance(value, str) and value.startswith(CONTAINER_MODE):
        return other_container(value, context)
    if name not in (None, BRIDGE) or value in context.view.networks.values():
        return name or value
    return "default"


def other_container(value: Json, context: Of) -> Json:
    """``container:ID`` of pid, ipc and network modes."""
    if not isinstance(value, str) or not value.startswith(CONTAINER_MODE):
        return value
    return value if context.view.has_container(value.removeprefix(CONTAINER_MODE)) else ""


def networks(value: Json, context: Of) -> Json:
    """The networks of a container under the names that clients know, without those that are not theirs."""
    found: Object = {}
    for key, endpoint in value.items() if isinstance(value, dict) else ():
        name = _network_key(key, endpoint.get("NetworkID") if isinstance(endpoint, dict) else None, context.view)
        if name is not None:
            found[name] = chosen(endpoint, ENDPOINT, context)
    return found


def _network_key(key: str, network: Json, view: View) -> str | None:
    """An engine writes name or id as the key, and no NetworkID before the first start."""
    if key == "none":
        return key
    if network:
        return view.network_name(network)
    if key in (view.session.network, view.session.network_name):
        return BRIDGE
    return view.networks.get(key) or (key if key in view.networks.values() else None)


def network_settings(value: Json, context: Of) -> Json:
    """With the flat members of Docker's own default network, which some clients read, from the network that stands for it."""
    shown = chosen(value, NETWORK_SETTINGS, context)
    found = shown.get("Networks")
    bridge = found.get(BRIDGE) if isinstance(found, dict) else None
    if isinstance(bridge, dict):
        shown.update((key, bridge[key]) for key in FLAT if key in shown and key in bridge)
    return shown


def open_ports(value: Json, exposed: Json, context: Of) -> Json:
    """What can be reached, where it can be reached; exposed ports without a place; nothing while it does not run."""
    if not context.running:
        return {}
    ports: Object = dict.fromkeys(exposed) if isinstance(exposed, dict) else {}
    if context.engine_publishes and isinstance(value, dict):
        ports.update(value)
    elif isinstance(value, dict):
        ports.update(dict.fromkeys(value))
    for port, places in _ports(context).items():
        ports[f"{port}/tcp"] = [{"HostIp": ip or "0.0.0.0", "HostPort": str(number)} for ip, number in places]
    return ports


def _ports(context: Of) -> Ports:
    return context.made.ports if context.made is not None else {}


def environment(value: Json, context: Of) -> Json:
    """Without what the guard added: whole lines, or names."""
    if not isinstance(value, list):
        return value
    if context.made is None:  # of one that was there before: its names, and not its owner's secrets
        return [f"{line.partition('=')[0]}={HIDDEN}" for line in strings(value)]
    ours = frozenset(context.shown.env)
    return [line for line in strings(value) if line not in ours and line.partition("=")[0] not in ours]


def _config(value: Json, context: Of) -> Json:
    return chosen(value, CONFIG, context)


def _host_config(value: Json, context: Of) -> Json:
    return chosen(value, HOST_CONFIG, context)


def _state(value: Json, context: Of) -> Json:
    return chosen(value, STATE, context)


def _health(value: Json, context: Of) -> Json:
    """What a check said is the container's own, or the engine's about a check that could not be made."""
    if not isinstance(value, dict):
        return value
    log = [{**one, "Output": context.view.scrub_paths(str(one.get("Output", "")))} for one in objects(value.get("Log"))]
    return {**chosen(value, keeping("Status", "FailingStreak"), context), "Log": list[Json](log)}


def _sentence(value: Json, context: Of) -> Json:
    return context.view.scrub(value) if isinstance(value, str) else value


def _log_config(value: Json, context: Of) -> Json:
    if not isinstance(value, dict):
        return value
    options = value.get("Config") if value.get("Type") in LOCAL_DRIVERS else {}
    return {"Type": value.get("Type"), "Config": options}


def _restart(value: Json, context: Of) -> Json:
    return context.shown.restart or value


def _bindings(value: Json, context: Of) -> Json:
    if context.made is not None:
        return context.shown.port_bindings
    return value if context.engine_publishes else {}


def _publish_all(value: Json, context: Of) -> Json:
    return context.shown.publish_all or (value if context.engine_publishes else False)


def _binds(value: Json, context: Of) -> Json:
    return asked_binds(value, context.asked, context.view)


def _mounts(value: Json, context: Of) -> Json:
    return asked_mounts(value, context.asked, context.view)


def _mount_points(value: Json, context: Of) -> Json:
    return mount_points(value, context.shown, context.view)


def _volumes_from(value: Json, context: Of) -> Json:
    if value is None:
        return None
    return [one for one in strings(value) if context.view.has_container(one.partition(":")[0])]


def graph_driver(value: Json, context: object) -> Json:
    """Its data are folders of the machine."""
    return {"Name": value.get("Name"), "Data": None} if isinstance(value, dict) else value


ENDPOINT: Table[object] = keeping(
    "IPAMConfig", "Links", "Aliases", "MacAddress", "NetworkID", "EndpointID", "Gateway", "IPAddress", "IPPrefixLen", "IPv6Gateway",
    "GlobalIPv6Address", "GlobalIPv6PrefixLen", "DNSNames", "GwPriority",
)  # fmt: skip
FLAT = ("EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPAddress", "IPPrefixLen", "IPv6Gateway", "MacAddress")
NETWORK_SETTINGS: Table[Of] = {
    **keeping("SandboxID", "HairpinMode", "LinkLocalIPv6Address", "LinkLocalIPv6PrefixLen", "Ports", "SecondaryIPAddresses"),
    **keeping("SecondaryIPv6Addresses", *FLAT),
    "Bridge": constant(""),  # an interface of the machine
    "SandboxKey": constant(""),
    "Networks": networks,
}
STATE: Table[Of] = {
    **keeping("Status", "Running", "Paused", "Restarting", "OOMKilled", "Dead", "Pid", "ExitCode", "StartedAt", "FinishedAt"),
    "Health": _health,
    "Error": _sentence,
}
CONFIG: Table[Of] = {
    **keeping("Hostname", "Domainname", "User", "AttachStdin", "AttachStdout", "AttachStderr", "ExposedPorts", "Tty", "OpenStdin"),
    **keeping("StdinOnce", "Cmd", "Healthcheck", "ArgsEscaped", "Volumes", "WorkingDir", "Entrypoint", "NetworkDisabled", "MacAddress"),
    **keeping("OnBuild", "StopSignal", "StopTimeout", "Shell"),
    "Env": environment,
    "Image": image_name,
    "Labels": labels,
}
HOST_CONFIG: Table[Of] = {
    **keeping("AutoRemove", "VolumeDriver", "ConsoleSize", "CapAdd", "CapDrop", "Capabilities", "CgroupnsMode", "Dns", "DnsOptions"),
    **keeping("DnsSearch", "ExtraHosts", "GroupAdd", "Cgroup", "OomScoreAdj", "Privileged", "ReadonlyRootfs", "SecurityOpt", "Tmpfs"),
    **keeping("UTSMode", "UsernsMode", "ShmSize", "Sysctls", "Runtime", "Isolation", "Init", "CpuShares", "Memory", "NanoCpus"),
    **keeping("BlkioWeight", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod", "CpuRealtimeRuntime", "CpusetCpus", "CpusetMems"),
    **keeping("KernelMemory", "KernelMemoryTCP", "MemoryReservation", "MemorySwap", "MemorySwappiness"),
    **keeping("OomKillDisable", "PidsLimit", "Ulimits", "CpuCount", "CpuPercent", "IOMaximumIOps"),
    **keeping("IOMaximumBandwidth", "MaskedPaths", "ReadonlyPaths"),
    # A container that was there before may have these, and they name devices, profiles, other containers and folders of the machine.
    **dict.fromkeys(("BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps", "BlkioDeviceReadIOps"), constant(None)),
    **dict.fromkeys(("BlkioDeviceWriteIOps", "Devices", "DeviceCgroupRules", "DeviceRequests", "Links", "StorageOpt"), constant(None)),
    "ContainerIDFile": constant(""),
    "CgroupParent": constant(""),
    "LogConfig": _log_config,
    "NetworkMode": network_mode,
    "IpcMode": other_container,
    "PidMode": other_container,
    "PortBindings": _bindings,
    "PublishAllPorts": _publish_all,
    "RestartPolicy": _restart,
    "VolumesFrom": _volumes_from,
    "Binds": _binds,
    "Mounts": _mounts,
}
CONTAINER: Table[Of] = {
    **keeping("Id", "Created", "Path", "Args", "Name", "RestartCount", "Driver", "Platform", "ExecIDs", "SizeRw", "SizeRootFs"),
    **dict.fromkeys(("ResolvConfPath", "HostnamePath", "HostsPath", "LogPath"), constant("")),
    **dict.fromkeys(("MountLabel", "ProcessLabel", "AppArmorProfile"), constant("")),
    "State": _state,
    "Image": image_id,
    "HostConfig": _host_config,
    "GraphDriver": graph_driver,
    "Mounts": _mount_points,
    "Config": _config,
    "NetworkSettings": network_settings,
}
