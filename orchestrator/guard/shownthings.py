"""What clients see of one network, volume, image or command. Pure."""

from orchestrator.guard.calls import Json, Object
from orchestrator.guard.inspect import graph_driver
from orchestrator.guard.view import Table, View, among, chosen, constant, keeping, labels, objects, strings

# Others are the guard's, or name interfaces of the machine; docker-compose 1 finds a network changed that has more than it asked for.
SHOWN_OPTIONS = ("com.docker.network.bridge.enable_icc", "com.docker.network.driver.mtu")
MISSING = "<missing>"  # docker's own word for a layer that has no id here


def show_network(answer: Object, view: View) -> Object:
    """The session's own network is ``bridge``; of its members, only what clients made is there. Nothing of others' networks."""
    name = view.network_name(answer.get("Id")) or ("none" if is_none(answer) else None)
    if name is None:
        return {}
    asked: Object = {"Internal": answer.get("Id") in view.internal} if "Internal" in answer else {}  # all are; compose compares
    return {**chosen(answer, NETWORK, view), **asked, "Name": name}


def is_none(network: Object) -> bool:
    """The engine's own network without a way anywhere."""
    return network.get("Driver") == "null" and network.get("Name") == "none"


def show_volume(answer: Object, view: View) -> Object:
    return chosen(answer, VOLUME, view)


def show_image(answer: Object, view: View) -> Object:
    return chosen(answer, IMAGE, view) if among(answer.get("Id"), view.images) else {}


def show_exec(answer: Object, view: View) -> Object:
    return chosen(answer, EXEC, view) if view.has_container(answer.get("ContainerID")) else {}


def show_history(answer: Json, view: View) -> list[Json]:
    """``docker history``: layers that somebody else made have neither id nor names."""
    return [chosen(one, HISTORY, view) for one in objects(answer)]


def tags(value: Json, view: View) -> Json:
    """Names that clients may see; an image can have others."""
    return [one for one in strings(value) if view.has_tag(one)] if isinstance(value, list) else value


def parent(value: Json, view: View) -> Json:
    return value if among(value, view.images) else ""


def _members(value: Json, view: View) -> Json:
    members = value.items() if isinstance(value, dict) else ()
    return {key: chosen(one, MEMBER, view) for key, one in members if view.has_container(key)}


def _network_options(value: Json, view: View) -> Json:
    return {key: one for key, one in value.items() if key in SHOWN_OPTIONS} if isinstance(value, dict) else value


def _ipam(value: Json, view: View) -> Json:
    return {**chosen(value, keeping("Driver", "Config"), view), "Options": None} if isinstance(value, dict) else value


def _volume_options(value: Json, view: View) -> Json:
    """Those of a volume in memory. Others mount what is outside."""
    return chosen(value, keeping("type", "o"), view) if isinstance(value, dict) and value.get("type") == "tmpfs" else None


def _origin(value: Json, view: View) -> Json:
    """The container that an image was committed from."""
    return value if view.had_container(value) else ""


def _image_config(value: Json, view: View) -> Json:
    return chosen(value, IMAGE_CONFIG, view) if isinstance(value, dict) else value


def _config_image(value: Json, view: View) -> Json:
    return value if among(value, view.images) or view.has_tag(value) else ""


def _layer(value: Json, view: View) -> Json:
    return value if among(value, view.images) else MISSING


MEMBER: Table[View] = keeping("Name", "EndpointID", "MacAddress", "IPv4Address", "IPv6Address")
NETWORK: Table[View] = {
    **keeping("Name", "Id", "Created", "Scope", "Driver", "EnableIPv4", "EnableIPv6", "Internal", "Attachable", "Ingress", "ConfigFrom"),
    **keeping("ConfigOnly"),
    "IPAM": _ipam,
    "Containers": _members,
    "Options": _network_options,
    "Labels": labels,
}
VOLUME: Table[View] = {
    **keeping("Name", "Driver", "CreatedAt", "Scope", "UsageData"),
    "Mountpoint": constant(""),
    "Options": _volume_options,
    "Labels": labels,
}
IMAGE_CONFIG: Table[View] = {
    **keeping("Domainname", "User", "AttachStdin", "AttachStdout", "AttachStderr", "ExposedPorts", "Tty", "OpenStdin", "StdinOnce", "Env"),
    **keeping("Cmd", "Healthcheck", "ArgsEscaped", "Volumes", "WorkingDir", "Entrypoint", "OnBuild", "StopSignal", "StopTimeout", "Shell"),
    "Hostname": constant(""),  # the id of the container that it was committed from
    "Image": _config_image,
    "Labels": labels,
}
IMAGE: Table[View] = {
    **keeping("Id", "Comment", "Created", "DockerVersion", "Author", "Architecture", "Variant", "Os", "OsVersion", "Size", "VirtualSize"),
    **keeping("RootFS", "Metadata"),
    "RepoTags": tags,
    "RepoDigests": tags,
    "Parent": parent,
    "Container": _origin,
    "ContainerConfig": _image_config,
    "Config": _image_config,
    "GraphDriver": graph_driver,
}
EXEC: Table[View] = {
    **keeping("ID", "Running", "ExitCode", "OpenStdin", "OpenStderr", "OpenStdout", "CanRemove", "ContainerID", "DetachKeys", "Pid"),
    "ProcessConfig": lambda value, view: chosen(value, PROCESS, view),
}
PROCESS: Table[View] = keeping("tty", "entrypoint", "arguments", "privileged", "user")
HISTORY: Table[View] = {**keeping("Comment", "Created", "CreatedBy", "Size"), "Id": _layer, "Tags": tags}
