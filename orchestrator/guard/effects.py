"""What happens around a call that was allowed: sources pinned before, ids noted after, ports opened and closed.

Each of these runs to its end, also when the client has left: half of it would be a container that nobody knows.
"""

import posixpath
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from orchestrator.guard import answers, container
from orchestrator.guard.calls import (
    BindAsk,
    Build,
    Commit,
    ConnectNetwork,
    CreateContainer,
    CreateExec,
    CreateNetwork,
    CreateVolume,
    Denied,
    Forward,
    Json,
    Load,
    MountAsk,
    Object,
    Pull,
    RemoveContainer,
    RemoveImage,
    RemoveNetwork,
    RemoveVolume,
    SocketAsk,
    StartContainer,
    StartExec,
    TagImage,
    ThawContainer,
    UpdateContainer,
    Usage,
    VolumeAsk,
    deny,
)
from orchestrator.guard.daemon import DaemonLost, parse_answer, request_head, target
from orchestrator.guard.decide import Call
from orchestrator.guard.imagenames import canonical, is_id
from orchestrator.guard.images import judge_existing
from orchestrator.guard.marks import Mark
from orchestrator.guard.masking import check_masks, masks_for
from orchestrator.guard.ports import publish_all
from orchestrator.guard.quota import admit
from orchestrator.guard.registry import Container
from orchestrator.guard.services import EMPTY, MAP_ROLE, Services, is_ours, said
from orchestrator.guard.strictjson import encode
from orchestrator.guard.target import one

if TYPE_CHECKING:
    from orchestrator.guard.uploads import Observer

Fields = Sequence[tuple[str, str]]
Done = tuple[int, Json, Fields]
SUBPATH_API = (1, 45)
LONG_S = 3600.0  # stop, restart, commit: as long as the client waits


class Effects:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def perform(self, call: Call, forward: Forward) -> Done:
        """A call with a small answer, and everything around it. Raises Denied, DaemonLost."""
        if forward.method == "GET":
            return await self._send(call, forward)  # nothing is half done where nothing is done
        # In the same turn as the decision: two calls at once must not both be the last one that the quota allows.
        share = forward.effect.reserve if isinstance(forward.effect, CreateContainer) else _SHARES.get(type(forward.effect), Usage())
        with self._services.registry.reserved(share):
            return await self._perform(call, forward)

    async def _perform(self, call: Call, forward: Forward) -> Done:
        act = Effects._prune if forward.answer == "prune" else _ACTS.get(type(forward.effect), Effects._send)
        return await self._services.to_the_end(act(self, call, forward))

    # --- sending

    async def _send(self, call: Call, forward: Forward) -> Done:
        status, body = await self._raw(call, forward)
        return status, self._shown(forward, status, body, call), ()

    async def _raw(self, call: Call, forward: Forward) -> tuple[int, Json]:
        data = b"" if forward.body is None else encode(forward.body)
        fields = (*forward.headers, *((("Content-Type", "application/json"),) if forward.body is not None else ()))
        length = len(data) if forward.method in ("POST", "PUT") or data else None
        head = request_head(forward.method, target(call.version, forward.path, forward.query), fields, length=length)
        daemon = self._services.daemon
        answered, answer = await daemon.exchange(forward.method, head + data, repeatable=forward.method == "GET", deadline_s=LONG_S)
        return answered.status, parse_answer(answer)

    def _shown(self, forward: Forward, status: int, body: Json, call: Call | None = None) -> Json:
        """Raises nothing: what cannot be shown is not."""
        if status >= 400 and forward.rule == "containers.top":  # the engine repeats words of ps, of processes of others
            known = [text for text in _OF_TOP if text in said(body)]
            return {"message": f"the processes could not be listed{': ' if known else ''}{''.join(known)}"}
        if status >= 400:
            return {"message": answers.scrub(said(body) or "the engine refused this", self._services.view())}
        limit = one(call.query, "limit") if call is not None and forward.answer == "containers" else None
        return answers.show(forward.answer, body, self._services.view(), int(limit) if limit else None)

    # --- containers

    async def _create(self, call: Call, forward: Forward) -> Done:
        services, effect = self._services, cast(CreateContainer, forward.effect)
        key = services.new_key()
        if services.session.plan.pinning == "subpath" and any(isinstance(ask, BindAsk) for ask in effect.mounts):
            call = replace(call, version=max(call.version, SUBPATH_API))  # an older version would drop the path, and mount the whole
        try:
            declared = await self._declared(forward, effect)
            admit(services.registry.usage(), Usage(volumes=len(declared)), services.session.plan.limits)
            effect = replace(effect, mounts=(*effect.mounts, *declared))
            sources = [await self._source(ask, key) for ask in effect.mounts]
            body = container.with_mounts(forward.body or {}, effect.mounts, tuple(sources))
            masks = self._masks(effect.mounts)
            status, answer = await self._raw(call, replace(forward, body=_with_more(body, masks)))
        except BaseException:  # the end of the task, too: nothing stays held for a container that is not made; the reason goes on
            services.pins.release(key)
            raise
        if status != 201 or not isinstance(answer, dict):
            services.pins.release(key)
            return status, self._shown(forward, status, answer), ()
        full_id = str(answer["Id"])
        asked = str((call.body or {}).get("Image", ""))
        services.registry.containers[full_id] = Container(
            full_id, effect.name or "", asked, effect.mounts, effect.ports, replace(effect.shown, image=asked), effect.reserve, key,
            inherits=bool(cast(Object, (forward.body or {}).get("HostConfig") or {}).get("VolumesFrom")),
            masks=frozenset(str(mask["Target"]) for mask in masks),
        )  # fmt: skip
        services.event("docker.made", {"kind": "container", "id": full_id, "image": effect.image})
        if effect.shown.publish_all or any(isinstance(ask, VolumeAsk) and ask.name is None for ask in effect.mounts):
            await self._look_at(full_id)
        return status, answer, ()

    async def _declared(self, forward: Forward, effect: CreateContainer) -> Sequence[MountAsk]:
        """Volumes that the image declares, made with our label: the daemon's own ones would have none, and stay."""
        status, answer = await self._services.daemon.ask("GET", f"/images/{(forward.body or {}).get('Image')}/json")
        config = answer.get("Config") if status == 200 and isinstance(answer, dict) else None
        volumes = config.get("Volumes") if isinstance(config, dict) else None
        mounted = {posixpath.normpath(ask.target) for ask in effect.mounts}
        paths = [posixpath.normpath("/" + path.lstrip("/")) for path in volumes or ()] if isinstance(volumes, dict) else []
        return [VolumeAsk(None, path, False, False) for path in dict.fromkeys(paths) if path not in mounted and path != "/"]

    async def _source(self, ask: MountAsk, key: str) -> Object | None:
        """The entry of a mount that is pinned; None where the ask says it all."""
        services = self._services
        match ask:
            case BindAsk():
                if services.session.plan.pinning == "subpath":
                    await self._map_volume(ask.map)
                return services.pins.hold(ask, key)
            case SocketAsk():
                return services.pins.hold(ask, key)
            case VolumeAsk(name=str(name)) if name not in services.registry.volumes:
                await self._new_volume(name)
        return None

    def _masks(self, mounts: Sequence[MountAsk]) -> tuple[Object, ...]:
        """Files of the project that hold secrets stay empty in every container. Raises Denied."""
        services, targets = self._services, [ask.target for ask in mounts]
        binds = [ask for ask in mounts if isinstance(ask, BindAsk) and services.secrets]
        empty = str(services.folder / EMPTY)
        return tuple(mask for ask in binds for mask in masks_for(ask, services.session, services.secrets[ask.map], empty, targets))

    async def _map_volume(self, number: int) -> None:
        """The volume that stands for a map's root. Ours alone: no client can name it."""
        services = self._services
        name = services.pins.volume_name(number)
        if name in services.map_volumes:
            return
        body = {**services.pins.volume_body(number), "Labels": services.labels(MAP_ROLE)}
        status, answer = await services.daemon.ask("POST", "/volumes/create", body=body)
        if status != 201 or not is_ours(answer, services.session):
            raise DaemonLost(f"the project could not be made a volume: {said(answer)}")
        services.map_volumes.add(name)

    async def _new_volume(self, name: str) -> None:
        """Raises Denied: there is one of that name which is somebody else's."""
        services = self._services
        status, answer = await services.daemon.ask("POST", "/volumes/create", body={"Name": name, "Labels": services.labels()})
        if status != 201:
            raise deny("volume.create", said(answer), status=400)
        if not is_ours(answer, services.session):
            raise _taken(name)
        services.registry.volumes.add(name)

    async def _look_at(self, full_id: str) -> None:
        """What the daemon chose: names of anonymous volumes, ports that the image exposes."""
        status, answer = await self._services.daemon.ask("GET", f"/containers/{full_id}/json")
        made = self._services.registry.containers.get(full_id)
        if status != 200 or not isinstance(answer, dict) or made is None:
            return
        mounts = answer.get("Mounts")
        volumes = [mount for mount in mounts if isinstance(mount, dict)] if isinstance(mounts, list) else []
        maps = self._services.map_volumes
        made.anonymous = frozenset(
            str(mount["Name"]) for mount in volumes
            if mount.get("Type") == "volume" and mount.get("Name") not in maps | self._services.registry.volumes
        )  # fmt: skip
        self._services.registry.volumes |= made.anonymous
        if made.shown.publish_all:
            config = answer.get("Config")
            exposed = config.get("ExposedPorts") if isinstance(config, dict) else None
            made.ports = (*made.ports, *publish_all({}, exposed if isinstance(exposed, dict) else {}))

    async def _start(self, call: Call, forward: Forward) -> Done:
        """Ports first, as the daemon does it: a container whose port is taken does not start."""
        services, full_id = self._services, cast(StartContainer, forward.effect).id
        made = services.registry.containers.get(full_id)
        if made is None:  # one that was there before: its mounts are its owner's
            return await self._send(call, forward)
        binds = [ask for ask in made.mounts if isinstance(ask, BindAsk)]
        if made.ports or services.session.proxy is not None:
            await services.gate()
        had = services.publisher.shown(full_id)
        if made.ports:
            await services.publisher.open(full_id, made.ports)
        try:
            if binds and forward.rule == "containers.restart" and services.session.plan.pinning == "freeze":
                forward = await self._stopped(forward, full_id)
            async with services.frozen(binds, full_id):
                for ask in binds:
                    services.pins.check(ask, made.key)
                    if services.secrets:
                        check_masks(ask, services.session, services.secrets[ask.map], made.masks, [each.target for each in made.mounts])
                status, body = await self._raw(call, forward)
        except BaseException:  # the end of the task, too: no port stays open for what has not started; the reason goes on
            if not had:
                services.publisher.close(full_id)
            raise
        if status >= 400 and not had:
            services.publisher.close(full_id)
        return status, self._shown(forward, status, body), ()

    async def _thaw(self, call: Call, forward: Forward) -> Done:
        async with self._services.freeze_turn.taken():
            return await self._send(call, forward)

    async def _stopped(self, forward: Forward, full_id: str) -> Forward:
        """A restart in two: the container could swap its own sources while it is being stopped. What is left to send."""
        daemon = self._services.daemon
        status, answer = await daemon.ask("POST", f"/containers/{full_id}/stop", forward.query, deadline_s=LONG_S)
        if status not in (204, 304):
            raise deny("mounts.freeze", f"the container could not be stopped: {said(answer)}", status=500)
        return replace(forward, path=f"/containers/{full_id}/start", query=())

    async def _remove(self, call: Call, forward: Forward) -> Done:
        status, body = await self._raw(call, forward)
        shown = self._shown(forward, status, body)
        if status in (204, 404):
            self._services.forget_container(cast(RemoveContainer, forward.effect).id, volumes=("v", "1") in forward.query)
        return status, shown, ()

    async def _update(self, call: Call, forward: Forward) -> Done:
        effect = cast(UpdateContainer, forward.effect)
        status, body = await self._raw(call, forward)
        made = self._services.registry.containers.get(effect.id)
        if status == 200 and made is not None:
            made.share = effect.reserve
        return status, self._shown(forward, status, body), ()

    async def _exec(self, call: Call, forward: Forward) -> Done:
        services = self._services
        status, body = await self._raw(call, forward)
        if status == 201 and isinstance(body, dict):
            services.registry.add_exec(str(body["Id"]), cast(CreateExec, forward.effect).container)
        return status, self._shown(forward, status, body), ()

    async def _exec_start(self, call: Call, forward: Forward) -> Done:
        """One that runs by itself counts until somebody asks for room."""
        self._services.registry.running.add(cast(StartExec, forward.effect).id)
        return await self._send(call, forward)

    # --- networks and volumes

    async def _create_network(self, call: Call, forward: Forward) -> Done:
        services = self._services
        status, body = await self._raw(call, forward)
        if status == 201 and isinstance(body, dict):
            full_id = str(body["Id"])
            services.registry.networks[full_id] = cast(CreateNetwork, forward.effect).name
            if (call.body or {}).get("Internal") is True:
                services.registry.internal.add(full_id)
            services.event("docker.made", {"kind": "network", "id": full_id})
            if services.reach.stands:
                await services.reach.join(full_id)
        return status, self._shown(forward, status, body), ()

    async def _remove_network(self, call: Call, forward: Forward) -> Done:
        """Our gate stands in it, and would hold it."""
        services, full_id = self._services, cast(RemoveNetwork, forward.effect).id
        if services.reach.stands:
            await services.reach.leave(full_id)
        status, body = await self._raw(call, forward)
        if status in (204, 404):
            services.registry.forget_network(full_id)
        elif services.reach.stands:
            await services.reach.join(full_id)
        return status, self._shown(forward, status, body), ()

    async def _connect(self, call: Call, forward: Forward) -> Done:
        return await self._send(call, forward)

    async def _create_volume(self, call: Call, forward: Forward) -> Done:
        """An existing volume of somebody else answers as if it had just been made."""
        services, name = self._services, cast(CreateVolume, forward.effect).name
        status, body = await self._raw(call, forward)
        if status == 201 and isinstance(body, dict):
            if not is_ours(body, services.session):
                raise _taken(name)
            services.registry.volumes.add(str(body["Name"]))
            services.event("docker.made", {"kind": "volume", "id": str(body["Name"])})
        return status, self._shown(forward, status, body), ()

    async def _remove_volume(self, call: Call, forward: Forward) -> Done:
        status, body = await self._raw(call, forward)
        if status in (204, 404):
            self._services.registry.volumes.discard(cast(RemoveVolume, forward.effect).name)
        return status, self._shown(forward, status, body), ()

    # --- images

    async def _tag(self, call: Call, forward: Forward) -> Done:
        effect = cast(TagImage, forward.effect)
        await self.refuse_taken((effect.reference,))
        self._services.note_images([Mark(effect.reference, effect.id)])
        status, body = await self._raw(call, forward)
        if status == 201:
            self._services.registry.images.made(effect.id, (effect.reference,))
        return status, self._shown(forward, status, body), ()

    async def _commit(self, call: Call, forward: Forward) -> Done:
        effect = cast(Commit, forward.effect)
        if effect.reference is not None:
            await self.refuse_taken((effect.reference,))
            self._services.note_images([Mark(effect.reference, "")])
        status, body = await self._raw(call, forward)
        if status == 201 and isinstance(body, dict):
            self._services.registry.images.made(str(body["Id"]), () if effect.reference is None else (effect.reference,))
        return status, self._shown(forward, status, body), ()

    async def _remove_image(self, call: Call, forward: Forward) -> Done:
        status, body = await self._raw(call, forward)
        shown = self._shown(forward, status, body)
        images = self._services.registry.images
        for row in body if status == 200 and isinstance(body, list) else ():
            if isinstance(row, dict) and "Untagged" in row:
                with suppress(Denied):
                    images.untagged(canonical(str(row["Untagged"])))
            elif isinstance(row, dict) and "Deleted" in row:
                images.removed(str(row["Deleted"]))
        return status, shown, ()

    async def refuse_taken(self, references: Sequence[str]) -> None:
        """A new tag must not take a name away from somebody else's image. Raises Denied."""
        for reference in references:
            judge_existing(reference, await self.id_of(reference), self._services.registry.images)

    async def made(self, forward: Forward, status: int, seen: "Observer") -> None:
        """After a pull, a build, or a load: what it was, by id. Nothing of a failed one counts."""
        if status != 200:
            return
        await self._services.to_the_end(self._made(forward, seen))

    async def _made(self, forward: Forward, seen: "Observer") -> None:
        services = self._services
        images = services.registry.images
        match forward.effect:
            case Pull(reference=reference) if not seen.failed:
                full_id = await self.id_of(reference)
                if full_id is not None:
                    images.pin(reference, full_id)
                    services.event("docker.made", {"kind": "pull", "id": full_id, "image": reference})
            case Build(tags=tags):
                for full_id in seen.ids[-1:] if not seen.failed else ():
                    images.made(full_id, tuple([tag for tag in tags if await self.id_of(tag) == full_id]))
                    services.event("docker.made", {"kind": "image", "id": full_id})
            case Load():
                for name in seen.loaded:
                    full_id = await self.id_of(name)
                    if full_id is not None:
                        images.made(full_id, () if is_id(name) else (canonical(name),))
                        services.event("docker.made", {"kind": "image", "id": full_id})

    async def id_of(self, reference: str) -> str | None:
        status, answer = await self._services.daemon.ask("GET", f"/images/{reference}/json")
        return str(answer["Id"]) if status == 200 and isinstance(answer, dict) else None

    # --- prunes

    async def _prune(self, call: Call, forward: Forward) -> Done:
        status, body = await self._raw(call, forward)
        shown = self._shown(forward, status, body)
        if status == 200 and isinstance(body, dict):
            for full_id in cast(list[str], body.get("ContainersDeleted") or []):
                self._services.forget_container(full_id)
            for name in cast(list[str], body.get("VolumesDeleted") or []):
                self._services.registry.volumes.discard(name)
            for name in cast(list[str], body.get("NetworksDeleted") or []):
                for full_id in [key for key, known in self._services.registry.networks.items() if known == name]:
                    self._services.registry.forget_network(full_id)
        return status, shown, ()


_OF_TOP = ('"ps": executable file not found', "is not running")
_SHARES: Mapping[type, Usage] = {
    CreateNetwork: Usage(networks=1),
    CreateVolume: Usage(volumes=1),
    StartExec: Usage(execs=1),
    Commit: Usage(images=1),
    TagImage: Usage(images=1),
}


def _with_more(body: Object, mounts: Sequence[Object]) -> Object:
    if not mounts:
        return body
    host = cast(Object, body["HostConfig"])
    return {**body, "HostConfig": {**host, "Mounts": [*cast(list[Json], host.get("Mounts") or []), *mounts]}}


def _taken(name: str) -> Denied:
    reason = f"a volume {name!r} exists outside of this session"
    return deny("volume.taken", reason, allowed="another name (compose: another project name, COMPOSE_PROJECT_NAME)", status=409)


_ACTS: Mapping[type, Callable[[Effects, Call, Forward], Coroutine[float, None, Done]]] = {
    CreateContainer: Effects._create,
    StartContainer: Effects._start,
    ThawContainer: Effects._thaw,
    RemoveContainer: Effects._remove,
    UpdateContainer: Effects._update,
    CreateExec: Effects._exec,
    StartExec: Effects._exec_start,
    CreateNetwork: Effects._create_network,
    RemoveNetwork: Effects._remove_network,
    ConnectNetwork: Effects._connect,
    CreateVolume: Effects._create_volume,
    RemoveVolume: Effects._remove_volume,
    TagImage: Effects._tag,
    Commit: Effects._commit,
    RemoveImage: Effects._remove_image,
}
