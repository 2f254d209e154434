"""What clients learn of the engine itself: what they need to speak with it, and nothing of the machine or of others. Pure.

Left out of /info, beside what nobody has judged: registries and mirrors, proxies (with passwords, at times), swarm, folders, the machine's
name and labels, addresses, plugins other than those every engine has.
"""

from collections.abc import Sequence

from orchestrator.guard.calls import Json, Object
from orchestrator.guard.view import Table, View, chosen, constant, keeping, objects, strings
from orchestrator.model.guard import MINIMUM_API, NEWEST_API

Headers = Sequence[tuple[str, str]]
# Clients look at the version of the protocol, and at what builds images: BuildKit is not spoken here.
PING_HEADERS = ("api-version", "docker-experimental", "ostype", "cache-control", "pragma", "server")
NAME = "aienv"


def newest(view: View) -> str:
    return _text(min(view.session.plan.api, NEWEST_API))


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def show_info(answer: Object, view: View) -> Object:
    """``docker info``; docker-compose 1 and testcontainers read OSType, ServerVersion, OperatingSystem, NCPU and MemTotal of it."""
    return chosen(answer, INFO, view)


def show_version(answer: Object, view: View) -> Object:
    return chosen(answer, VERSION, view)


def ping_headers(headers: Headers, view: View) -> tuple[tuple[str, str], ...]:
    """Of the answer to ``/_ping``, for GET and HEAD."""
    kept = [(name, newest(view) if name.lower() == "api-version" else value) for name, value in headers if name.lower() in PING_HEADERS]
    return (*kept, ("Builder-Version", "1"))


def _count(value: Json, view: View) -> Json:
    return len(view.containers) + len(view.adopted)


def _images(value: Json, view: View) -> Json:
    return len(view.images)


def _security(value: Json, view: View) -> Json:
    """Names, without the files of profiles."""
    return [one for one in strings(value) if "/" not in one]


def _driver_status(value: Json, view: View) -> Json:
    rows = value if isinstance(value, list) else []
    return [row for row in rows if isinstance(row, list) and row and row[0] in DRIVER_STATUS]


def _commit(value: Json, view: View) -> Json:
    return chosen(value, keeping("ID", "Expected"), view)


def _api(value: Json, view: View) -> Json:
    return newest(view)


def _components(value: Json, view: View) -> Json:
    return [chosen(one, COMPONENT, view) for one in objects(value)]


def _details(value: Json, view: View) -> Json:
    return chosen(value, DETAILS, view)


def _platform(value: Json, view: View) -> Json:
    return chosen(value, keeping("Name"), view)


NO_SWARM: Object = {
    "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": False, "Error": "", "RemoteManagers": None,
}  # fmt: skip
DRIVER_STATUS = ("Backing Filesystem", "Supports d_type", "Using metacopy", "Native Overlay Diff", "userxattr")
PLUGINS: Object = {"Volume": ["local"], "Network": ["bridge", "null"], "Authorization": None, "Log": ["json-file", "local", "none"]}
INFO: Table[View] = {
    **keeping("Driver", "MemoryLimit", "SwapLimit", "KernelMemory", "KernelMemoryTCP", "CpuCfsPeriod", "CpuCfsQuota", "CPUShares"),
    **keeping("CPUSet", "PidsLimit", "IPv4Forwarding", "BridgeNfIptables", "BridgeNfIp6tables", "OomKillDisable", "SystemTime"),
    **keeping("CgroupDriver", "CgroupVersion", "KernelVersion", "OperatingSystem", "OSVersion", "OSType", "Architecture", "NCPU"),
    **keeping("MemTotal", "ExperimentalBuild", "ServerVersion", "Isolation", "InitBinary"),
    "ID": lambda value, view: view.session.id,  # the engine's own is the same for all of its clients
    "Name": constant(NAME),
    "Containers": _count,
    # Which of them run is in the list; the engine's own numbers are of everybody's.
    **dict.fromkeys(("ContainersRunning", "ContainersPaused", "ContainersStopped", "NFd", "NGoroutines", "NEventsListener"), constant(0)),
    "Images": _images,
    "DriverStatus": _driver_status,
    "Plugins": constant(PLUGINS),
    "LoggingDriver": constant("json-file"),
    "Debug": constant(False),
    "IndexServerAddress": constant("https://index.docker.io/v1/"),  # the CLI asks for credentials by this name
    "RegistryConfig": constant({"InsecureRegistryCIDRs": [], "IndexConfigs": {}, "Mirrors": []}),
    "GenericResources": constant(None),
    **dict.fromkeys(("DockerRootDir", "HttpProxy", "HttpsProxy", "NoProxy"), constant("")),
    "Labels": constant([]),
    "Runtimes": constant({"runc": {"path": "runc"}}),
    "DefaultRuntime": constant("runc"),
    "Swarm": constant(NO_SWARM),
    "LiveRestoreEnabled": constant(False),
    "ContainerdCommit": _commit,
    "RuncCommit": _commit,
    "InitCommit": _commit,
    "SecurityOptions": _security,
    "Warnings": constant(None),
}
DETAILS: Table[View] = {
    **keeping("Arch", "BuildTime", "Experimental", "GitCommit", "GoVersion", "KernelVersion", "Os"),
    "ApiVersion": _api,
    "MinAPIVersion": constant(_text(MINIMUM_API)),
}
COMPONENT: Table[View] = {**keeping("Name", "Version"), "Details": _details}
VERSION: Table[View] = {
    **keeping("Version", "GitCommit", "GoVersion", "Os", "Arch", "KernelVersion", "BuildTime", "Experimental"),
    "Platform": _platform,
    "Components": _components,
    "ApiVersion": _api,
    "MinAPIVersion": constant(_text(MINIMUM_API)),
}
