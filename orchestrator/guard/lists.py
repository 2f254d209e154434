"""Lists, sums and what was pruned: of what the client may see, nothing else. Pure.

The filter for our label that goes to the engine is for speed and for limits; what decides is here.
"""

from collections.abc import Sequence

from orchestrator.guard.calls import Json, Object
from orchestrator.guard.inspect import Of, image_id, image_name, network_mode, networks, of
from orchestrator.guard.shownmounts import mount_points
from orchestrator.guard.shownthings import parent, show_network, show_volume, tags
from orchestrator.guard.view import Table, View, among, chosen, keeping, labels, objects, strings


def show_containers(answer: Json, view: View, limit: int | None = None) -> list[Json]:
    """``limit``: where the engine must not count, because it would count what is hidden."""
    own = [chosen(one, CONTAINER, of(one, view)) for one in objects(answer) if view.has_container(one.get("Id"))]
    return list[Json](own[:limit] if limit is not None and limit > 0 else own)


def show_networks(answer: Json, view: View) -> list[Json]:
    """The session's own network as ``bridge``, those that clients made, and ``none``; ``host`` is not to be had."""
    return [shown for one in objects(answer) if (shown := show_network(one, view))]


def show_volumes(answer: Json, view: View) -> Object:
    volumes = answer.get("Volumes") if isinstance(answer, dict) else None
    return {"Volumes": list[Json](_volumes(volumes, view)), "Warnings": None}


def _volumes(volumes: Json, view: View) -> list[Object]:
    return [show_volume(one, view) for one in objects(volumes) if among(one.get("Name"), view.volumes)]


def show_images(answer: Json, view: View) -> list[Json]:
    """An image of which only names of others were asked for is not there: a filter by name would tell that they exist."""
    return list[Json](_images(answer, view))


def _images(answer: Json, view: View) -> list[Object]:
    own = [(one, chosen(one, IMAGE, view)) for one in objects(answer) if among(one.get("Id"), view.images)]
    return [shown for one, shown in own if _names(shown) or not _names(one)]


def _names(image: Object) -> list[str]:
    """Without ``<none>:<none>``, by which older engines say that there is none."""
    return [name for key in ("RepoTags", "RepoDigests") for name in strings(image.get(key)) if "<none>" not in name]


def show_df(answer: Object, view: View) -> Object:
    """``docker system df``: sums over what is the client's; shared layers count in each image."""
    shown: Object = {}
    containers = objects(show_containers(answer.get("Containers"), view))
    if "Images" in answer:
        images = [_counted(one, containers) for one in _images(answer.get("Images"), view)]
        shown["LayersSize"] = sum(_number(one.get("Size")) for one in images)
        shown["Images"] = list[Json](images)
    if "Containers" in answer:
        shown["Containers"] = list[Json](containers)
    if "Volumes" in answer:
        shown["Volumes"] = list[Json](_volumes(answer.get("Volumes"), view))
    if "BuildCache" in answer:
        shown |= {"BuildCache": [], "BuilderSize": 0}  # everybody's
    return shown


def _counted(image: Object, containers: Sequence[Object]) -> Object:
    return {**image, "Containers": sum(1 for one in containers if one.get("ImageID") == image.get("Id"))}


def _number(value: Json) -> int:
    return value if isinstance(value, int) else 0


def show_prune(answer: Object, view: View) -> Object:
    """By the view from before the pruning. What was removed with an image and has no name here is left out."""
    return chosen(answer, PRUNE, view)


def _containers_deleted(value: Json, view: View) -> Json:
    return _only(value, [one for one in strings(value) if view.had_container(one)])


def _networks_deleted(value: Json, view: View) -> Json:
    return _only(value, [one for one in strings(value) if one in view.networks.values()])


def _volumes_deleted(value: Json, view: View) -> Json:
    return _only(value, [one for one in strings(value) if one in view.volumes])


def _images_deleted(value: Json, view: View) -> Json:
    return list[Json](images_deleted(value, view)) if isinstance(value, list) else None


def images_deleted(value: Json, view: View) -> list[Object]:
    """Also what ``docker rmi`` answers."""
    known = view.images | view.gone
    return [one for one in objects(value) if among(one.get("Deleted"), known) or view.has_tag(one.get("Untagged"))]


def _only(value: Json, own: list[str]) -> Json:
    return list[Json](own) if isinstance(value, list) else None


def open_ports(value: Json, context: Of) -> Json:
    """As ``docker ps`` shows them."""
    if not context.running:
        return []
    rows = objects(value)
    if not context.engine_publishes:
        rows = [{"PrivatePort": port, "Type": kind} for port, kind in _exposed(rows)]
    reached = context.made.ports if context.made is not None else {}
    rows = [one for one in rows if one.get("Type") != "tcp" or one.get("PrivatePort") not in list(reached)]
    for port, places in reached.items():
        rows += [{"IP": ip or "0.0.0.0", "PrivatePort": port, "PublicPort": number, "Type": "tcp"} for ip, number in places]
    return list[Json](rows)


def _exposed(rows: Sequence[Object]) -> list[tuple[int, str]]:
    """Each once: an engine has a row for each address."""
    pairs = [(one.get("PrivatePort"), one.get("Type")) for one in rows]
    return list(dict.fromkeys((port, kind) for port, kind in pairs if isinstance(port, int) and isinstance(kind, str)))


def _names_of(value: Json, context: Of) -> Json:
    """Without the names that links give, which carry other containers' names."""
    return [one for one in strings(value) if one.count("/") == 1]


def _mode(value: Json, context: Of) -> Json:
    return {"NetworkMode": network_mode(value.get("NetworkMode", ""), context)} if isinstance(value, dict) else {}


def _networks(value: Json, context: Of) -> Json:
    return {"Networks": networks(value.get("Networks"), context)} if isinstance(value, dict) else {}


def _mount_points(value: Json, context: Of) -> Json:
    return mount_points(value, context.shown, context.view)


CONTAINER: Table[Of] = {
    **keeping("Id", "Command", "Created", "SizeRw", "SizeRootFs", "State", "Status"),
    "Names": _names_of,
    "Image": image_name,
    "ImageID": image_id,
    "Ports": open_ports,
    "Labels": labels,
    "HostConfig": _mode,
    "NetworkSettings": _networks,
    "Mounts": _mount_points,
}
IMAGE: Table[View] = {
    **keeping("Containers", "Created", "Id", "SharedSize", "Size", "VirtualSize"),
    "ParentId": parent,
    "RepoTags": tags,
    "RepoDigests": tags,
    "Labels": labels,
}
PRUNE: Table[View] = {
    **keeping("SpaceReclaimed"),
    "ContainersDeleted": _containers_deleted,
    "NetworksDeleted": _networks_deleted,
    "VolumesDeleted": _volumes_deleted,
    "ImagesDeleted": _images_deleted,
}
