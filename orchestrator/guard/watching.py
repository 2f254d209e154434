"""What the engine tells of itself: containers that end, start again by themselves, or are gone; and what was there at launch."""

import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.guard import group
from orchestrator.guard.calls import Denied, Json, Object
from orchestrator.guard.daemon import DaemonLost, read_head, request_head, target
from orchestrator.guard.services import Services
from orchestrator.guard.strictjson import encode
from orchestrator.model.guard import RUN
from orchestrator.wire.bodies import reader_for
from orchestrator.wire.http1 import BadMessage
from orchestrator.wire.loop import FOREVER, TimedOut, pause

AGAIN_S = 1.0
HEAD_S = 20.0
MAX_LINE_BYTES = 1 << 20
WORKING_DIR = "com.docker.compose.project.working_dir"


async def adopt(services: Services, folders: Sequence[str]) -> None:
    """Containers of compose projects in these folders that are there now: once, by id. Later ones can only claim to belong.

    Raises:
        DaemonLost
    """
    for folder in folders:
        filters = encode({"label": [f"{WORKING_DIR}={folder}"]}).decode()
        status, answer = await services.daemon.ask("GET", "/containers/json", (("all", "1"), ("filters", filters)))
        for one in answer if status == 200 and isinstance(answer, list) else []:
            labels = one.get("Labels") if isinstance(one, dict) else None
            if not isinstance(one, dict) or not isinstance(labels, dict) or labels.get(RUN) or labels.get(WORKING_DIR) != folder:
                continue
            status, found = await services.daemon.ask("GET", f"/containers/{one.get('Id')}/json")
            if status != 200 or not isinstance(found, dict):
                continue
            if (why := unfit(found, [each.host for each in services.session.maps])) is not None:
                services.event("docker.passed-over", {"id": str(one.get("Id")), "reason": why})
                continue
            names = one.get("Names")
            name = str(names[0]).lstrip("/") if isinstance(names, list) and names else ""
            services.registry.adopted[str(one["Id"])] = name
            services.event("docker.adopted", {"id": str(one["Id"]), "name": name})


def unfit(found: Object, maps: Sequence[str]) -> str | None:
    """Why a container that was there before must not be used: through it a client would have more than one of its own gives. Pure."""
    host = found.get("HostConfig")
    if not isinstance(host, dict):
        return "nothing is known of it"
    for field, plain in _PLAIN.items():
        if host.get(field) not in plain:
            return f"its {field}"
    if str(host.get("NetworkMode", "")).partition(":")[0] in ("host", "container"):
        return "its NetworkMode"
    mounts = found.get("Mounts")
    for mount in mounts if isinstance(mounts, list) else ():
        source = str(mount.get("Source")) if isinstance(mount, dict) and mount.get("Type") == "bind" else None
        if source is not None and not any(source == one or source.startswith(f"{one}/") for one in maps):
            return "a mount from outside the project"
    return None


_NOTHING: tuple[Json, ...] = (None, False, "", [], {}, 0)
_PLAIN: Mapping[str, tuple[Json, ...]] = {
    **dict.fromkeys(
        ("Privileged", "AutoRemove", "CapAdd", "Devices", "DeviceRequests", "DeviceCgroupRules", "PidMode", "UTSMode", "UsernsMode",
         "SecurityOpt", "Sysctls", "VolumesFrom", "CgroupParent", "Links", "GroupAdd"), _NOTHING,
    ),
    "IpcMode": (*_NOTHING, "private", "shareable", "none"),
    "Runtime": (*_NOTHING, "runc", "io.containerd.runc.v2"),
}  # fmt: skip


async def learn(services: Services) -> None:
    """Where the engine keeps its things, which no answer names; and whether our containers can have a control group in common.

    Raises:
        DaemonLost
    """
    status, answer = await services.daemon.ask("GET", "/info")
    info = answer if status == 200 and isinstance(answer, dict) else {}
    root = info.get("DockerRootDir")
    services.hidden = (root,) if isinstance(root, str) and len(root) > 1 else ()
    session, plan = services.session, services.session.plan
    if plan.mode == "guarded" and plan.cgroup_parent is None:
        services.session = replace(session, plan=replace(plan, cgroup_parent=group.make(session.id, plan.limits, info)))


async def watch(services: Services) -> None:
    """Follow the engine's events about this session until the guard ends; after a break, look at what there is."""
    since = f"{time.time():.3f}"
    while True:
        with contextlib.suppress(DaemonLost, OSError, TimedOut, BadMessage):
            await _follow(services, since)
        with contextlib.suppress(TimedOut):
            await pause(services.loop.in_seconds(AGAIN_S))
        with contextlib.suppress(DaemonLost):
            await look(services)
        since = f"{time.time():.3f}"


async def _follow(services: Services, since: str) -> None:
    filters = encode({"label": [f"{RUN}={services.session.id}"], "type": ["container"]}).decode()
    wire = await services.daemon.dial()
    try:
        where = target(services.daemon.version, "/events", (("since", since), ("filters", filters)))
        await wire.send_all(request_head("GET", where))
        head = await read_head(wire, "GET", services.loop.in_seconds(HEAD_S))
        if head.status != 200:
            return
        reader, line = reader_for(head.body), b""
        data, wire.kept = wire.kept, b""
        while not reader.done:
            line += reader.feed(data) if data else b""
            *whole, line = line.split(b"\n")
            for one in whole:
                await _notice(services, one)
            if len(line) > MAX_LINE_BYTES:
                return
            data = await wire.receive(FOREVER)
            if not data:
                return
    finally:
        wire.close()


async def _notice(services: Services, line: bytes) -> None:
    try:
        event = json.loads(line)
        action, full_id = str(event["Action"]), str(event["Actor"]["ID"])
    except (ValueError, KeyError, TypeError):
        return
    if full_id not in services.registry.containers:
        return
    if action == "destroy":
        services.forget_container(full_id, volumes=False)
    elif action == "die":
        services.publisher.close(full_id)
    elif action == "start":
        await _open(services, full_id)


async def _open(services: Services, full_id: str) -> None:
    """One that the engine started again by itself finds its ports open, if nobody took them."""
    one = services.registry.containers.get(full_id)
    if one is not None and one.ports and services.reach.stands and not services.publisher.shown(full_id):
        with contextlib.suppress(Denied):
            await services.publisher.open(full_id, one.ports)


async def look(services: Services) -> None:
    known = list(services.registry.containers)  # before we ask: what is made meanwhile is not in the answer
    filters: Object = {"label": [f"{RUN}={services.session.id}"]}
    status, answer = await services.daemon.ask("GET", "/containers/json", (("all", "1"), ("filters", encode(filters).decode())))
    if status != 200 or not isinstance(answer, list):
        return
    there = {_id(one): _running(one) for one in answer}
    for full_id in known:
        if full_id not in there:
            services.forget_container(full_id)
        elif not there[full_id]:
            services.publisher.close(full_id)
        else:
            await _open(services, full_id)


def _id(one: Json) -> str:
    return str(one.get("Id")) if isinstance(one, dict) else ""


def _running(one: Json) -> bool:
    return isinstance(one, dict) and one.get("State") in ("running", "paused")


def routes_in_use(table: Path = Path("/proc/net/route")) -> tuple[str, ...]:
    """Networks that this machine has routes to, as CIDR: a new one over them would take their traffic."""
    found = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in table.read_text().splitlines()[1:]:
            words = line.split()
            address, mask = (int(words[index], 16).to_bytes(4, "little") for index in (1, 7))
            if any(mask):
                found.append(f"{'.'.join(map(str, address))}/{bin(int.from_bytes(mask)).count('1')}")
    return tuple(found)
