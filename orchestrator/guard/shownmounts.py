"""Mounts of a container as the client asked for them: sources that were pinned are the paths inside again. Pure.

Three members tell of them: HostConfig.Binds and HostConfig.Mounts, what was asked; Mounts, what is there. Each is matched by its target.
"""

import re
from collections.abc import Mapping

from orchestrator.guard.calls import Json, Object, Shown
from orchestrator.guard.view import Table, View, chosen, constant, keeping, labels, objects, strings

_ANONYMOUS = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MOUNT = keeping("Type", "Target", "ReadOnly", "Consistency", "BindOptions", "TmpfsOptions")
_VOLUME_OPTIONS: Table[View] = {**keeping("NoCopy", "Subpath"), "Labels": labels, "DriverConfig": constant(None)}


def asked_binds(value: Json, shown: Shown | None, view: View) -> Json:
    """HostConfig.Binds. ``shown``: None: nobody asked here, the container was there before."""
    if shown is not None:
        return list[Json](shown.binds) if shown.binds is not None else None
    if not isinstance(value, list):
        return value
    return [text for text in (_bind(one, view) for one in strings(value)) if text is not None]


def asked_mounts(value: Json, shown: Shown | None, view: View) -> Json:
    """HostConfig.Mounts: pinned sources and masks stand there as well, which nobody asked for."""
    if shown is not None:
        return list[Json](shown.mounts) if shown.mounts is not None else None
    return [_mount(one, view) for one in objects(value)] if isinstance(value, list) else value


def mount_points(value: Json, shown: Shown, view: View) -> Json:
    """Mounts, as inspect has them, and lists of containers."""
    if not isinstance(value, list):
        return value
    asked = asked_sources(shown)
    return [_point(one, asked, view) for one in objects(value)]


def asked_sources(shown: Shown) -> Mapping[str, str]:
    """Target -> the path that was asked for, of what was asked as a bind."""
    found: dict[str, str] = {}
    for text in shown.binds or ():
        source, _, rest = text.partition(":")
        if source.startswith("/"):
            found[_clean(rest.partition(":")[0])] = source
    for mount in shown.mounts or ():
        if mount.get("Type") == "bind":
            found[_clean(str(mount.get("Target", "")))] = str(mount.get("Source", ""))
    return found


def _clean(target: str) -> str:
    """As an engine writes a destination."""
    parts: list[str] = []
    for part in target.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def _bind(text: str, view: View) -> str | None:
    """Of a container that was there before; None: its source is not the clients'."""
    source, colon, rest = text.partition(":")
    shown = view.inside(source) if source.startswith("/") else _volume(source, view)
    return f"{shown}{colon}{rest}" if shown else None


def _volume(name: Json, view: View) -> str:
    """A volume without a name given is its container's alone; another one must be the session's."""
    return name if isinstance(name, str) and (name in view.volumes or _ANONYMOUS.fullmatch(name)) else ""


def _mount(mount: Object, view: View) -> Object:
    kind, source = mount.get("Type"), mount.get("Source")
    shown = {**chosen(mount, _MOUNT, view), "Source": _volume(source, view) if kind == "volume" else view.inside(source) or ""}
    options = mount.get("VolumeOptions")
    return {**shown, "VolumeOptions": chosen(options, _VOLUME_OPTIONS, view)} if isinstance(options, dict) else shown


def _point(point: Object, asked: Mapping[str, str], view: View) -> Object:
    destination = str(point.get("Destination", ""))
    source = asked.get(_clean(destination))
    if source is None and point.get("Type") == "bind":
        source = view.inside(point.get("Source")) or ""
    if source is None:
        return chosen(point, _VOLUME_POINT, view)
    mode = point.get("Mode") if point.get("Type") == "bind" else ""
    bind: Object = {"Type": "bind", "Source": source, "Destination": destination, "Mode": mode, "RW": point.get("RW")}
    return {**bind, "Propagation": point.get("Propagation") or "rprivate"}


_VOLUME_POINT: Table[View] = {
    **keeping("Type", "Destination", "Driver", "Mode", "RW", "Propagation"),
    "Source": constant(""),  # a folder of the engine's
    "Name": _volume,
}
