"""What a new container may be: the body that clients send becomes one of ours, or a refusal. Pure.

Written anew with full ids, the session's network, limits and labels. Mounts come last (``with_mounts``): their sources are held fast only
when everything else was allowed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

from orchestrator.guard.calls import (
    BindAsk,
    CreateContainer,
    Json,
    Known,
    MountAsk,
    Object,
    PortAsk,
    Reference,
    Session,
    Shown,
    SocketAsk,
    Thing,
    TmpfsAsk,
    Usage,
    VolumeAsk,
    deny,
)
from orchestrator.guard.endpoints import (
    SHARED,
    endpoints,
    join,
    link_references,
    linked,
    named_network,
    refuse_names,
    resolve_mode,
    shared_with,
)
from orchestrator.guard.fields import (
    FieldRule,
    each,
    flag,
    forbidden,
    ignored,
    judge,
    mapping,
    matching,
    must_be_unset,
    number,
    record,
    text,
    words,
    zero_or,
)
from orchestrator.guard.host_config import HOST_CONFIG, NO_NEW_PRIVILEGES, bounded, bounded_log, drop_capabilities
from orchestrator.guard.imagenames import refuse_image
from orchestrator.guard.labels import LABELS, OWN_PREFIX, with_own_labels
from orchestrator.guard.mounts import tmpfs_words
from orchestrator.guard.ports import OPENED_ON, port_bindings, publish_all
from orchestrator.guard.quota import admit

NO_DNS = ["127.0.0.1"]  # the container itself: names that the engine's own answers do not have are asked nowhere
SOON = ("timeout:1", "attempts:1")
PROXY_NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
NO_PROXY_NAMES = ("NO_PROXY", "no_proxy")
_MILLISECOND_NS = 1_000_000
_DURATION = zero_or(number(_MILLISECOND_NS, 1 << 62))
_PLATFORM = matching(r"|linux(/[a-z0-9]{1,16}(/v[0-9]{1,2})?)?", "linux/<architecture>")


def variable(value: Json, known: Known, path: str) -> str:
    """``NAME=value``, or a name alone, which takes away what the image says."""
    found = str(text()(value, known, path))
    if not found.partition("=")[0]:
        raise deny("body.value", "a variable without a name", field=path, allowed="NAME=value", status=400)
    return found


ENVIRONMENT: FieldRule = each(variable)

HEALTHCHECK: FieldRule = record({
    "Test": words,
    "Interval": zero_or(number(100 * _MILLISECOND_NS, 1 << 62)),  # each check starts a process of the engine, outside of all limits
    "Timeout": _DURATION,
    "StartPeriod": _DURATION,
    "StartInterval": zero_or(number(100 * _MILLISECOND_NS, 1 << 62)),
    "Retries": number(0, 1 << 31),
})  # fmt: skip

CONFIG: Mapping[str, FieldRule] = {
    "Image": text(512),
    "Hostname": matching(r"[A-Za-z0-9_.-]{0,253}", "letters, digits, '.', '-'"),
    "Domainname": matching(r"[A-Za-z0-9_.-]{0,253}", "letters, digits, '.', '-'"),
    "User": text(256),
    "WorkingDir": text(4096),
    "Env": ENVIRONMENT,
    "Cmd": words,
    "Entrypoint": words,  # an empty list is not null: it takes away the image's
    "Shell": words,
    "Healthcheck": HEALTHCHECK,
    "StopSignal": matching(r"[A-Za-z0-9+-]{0,16}", "a signal by name or number"),
    "StopTimeout": number(-1, 86_400),
    "Tty": flag,
    "OpenStdin": flag,
    "StdinOnce": flag,
    "AttachStdin": flag,
    "AttachStdout": flag,
    "AttachStderr": flag,
    "ExposedPorts": mapping(record({}), matching(r"[0-9]{1,5}(-[0-9]{1,5})?(/(tcp|udp|sctp))?", "80/tcp"), most=1024),
    "Labels": LABELS,
    "Volumes": ignored,  # guard.mounts
    "NetworkDisabled": flag,
    "MacAddress": forbidden("network.mac", "a hardware address may not be chosen: it could be another container's"),
    "OnBuild": must_be_unset,
    "ArgsEscaped": forbidden("body.not-allowed", "this field is for Windows containers"),
    "HostConfig": record(HOST_CONFIG),
    "NetworkingConfig": record({"EndpointsConfig": endpoints}),
}


def references(body: Object) -> tuple[Reference, ...]:
    """Everything that a body names, judged or not."""
    return tuple(dict.fromkeys(_references(body)))


def judge_create(
    body: Object,
    name: str | None,
    platform: str | None,
    known: Known,
    session: Session,
    usage: Usage,
    mounts: tuple[MountAsk, ...],
    ports: tuple[PortAsk, ...],
) -> tuple[Object, CreateContainer]:
    """The body to forward, still without mounts, and what is to be done around it. ``name``, ``platform``: of the query.

    Raises:
        Denied: a field that is not allowed, something that is not there, or more than the session may have.
    """
    _PLATFORM(platform or "", known, "platform")
    config = judge(CONFIG, body, known)
    asked = _object(body.get("HostConfig"))
    host = _object(config.pop("HostConfig", None))
    endpoints_asked = _object(_object(config.pop("NetworkingConfig", None)).get("EndpointsConfig"))
    image = _image(config, known, session)
    for called, path in ((name, "name"), (cast("str | None", config.get("Hostname")), "Hostname")):
        refuse_names(called, path)

    mode_asked = str(host.pop("NetworkMode", ""))
    mode = resolve_mode(mode_asked, known, session)
    links = cast(list[Json], host.pop("Links", []))
    joined = join(mode_asked, mode, endpoints_asked, links, known, session)
    ports = _published(asked, body, ports, mode, session)
    _refuse_inherited_binds(host, session)
    host, share = bounded(host, session.plan.limits)
    share = replace(share, ports=len(ports))
    admit(usage, replace(share, volumes=_new_volumes(mounts, known)), session.plan.limits)

    engine_publishes = not session.own_network
    added = proxy_variables(config.get("Env"), session) if mode != "none" else ()
    forwarded: Object = {
        **config,
        "Image": image.id,
        "Labels": with_own_labels(config.get("Labels"), session),
        "HostConfig": {
            **_without(host, "PublishAllPorts", "VolumeDriver", "Isolation"),
            "NetworkMode": mode,
            "CapDrop": drop_capabilities(host.get("CapDrop")),
            "SecurityOpt": [NO_NEW_PRIVILEGES],
            **_names(host, mode, session),
            "LogConfig": bounded_log(host.get("LogConfig")),
            **({"CgroupParent": session.plan.cgroup_parent} if session.plan.cgroup_parent else {}),
            **({"RestartPolicy": {"Name": "no"}} if _held_by_freezing(mounts, session) else {}),
            **({"PortBindings": port_bindings(ports, OPENED_ON)} if engine_publishes and ports else {}),
        },
        **({"Env": [*cast(list[Json], config.get("Env") or []), *added]} if added else {}),
        **({"NetworkingConfig": {"EndpointsConfig": joined}} if joined else {}),
    }
    effect = CreateContainer(
        name=name,
        image=str(config["Image"]),
        mounts=mounts,
        ports=() if engine_publishes else ports,
        shown=_shown(asked, mode_asked, added, publish=not engine_publishes),
        reserve=share,
    )
    return forwarded, effect


def with_mounts(body: Object, mounts: tuple[MountAsk, ...], sources: tuple[Object | None, ...]) -> Object:
    """``body`` with everything mounted. ``sources[i]``: the ready entry for ``mounts[i]`` where something was held fast for it.

    Raises:
        Denied: two with one target, or a bind that nothing holds.
    """
    host = _object(body.get("HostConfig"))
    own: Object = {key: value for key, value in _object(body.get("Labels")).items() if key.startswith(OWN_PREFIX)}
    entries: list[Json] = []
    tmpfs: Object = {}
    for ask, source in zip(mounts, sources, strict=True):
        match ask:
            case TmpfsAsk():
                tmpfs[_free(ask.target, entries, tmpfs)] = tmpfs_words(ask)
            case VolumeAsk():
                entries.append(_volume_entry(ask, _free(ask.target, entries, tmpfs), own))
            case BindAsk() | SocketAsk():
                if source is None:
                    raise deny("mounts.unpinned", f"nothing holds the source for {ask.target!r}", field="HostConfig")
                entries.append({**source, "Target": _free(ask.target, entries, tmpfs)})
    added: Object = {**({"Mounts": entries} if entries else {}), **({"Tmpfs": tmpfs} if tmpfs else {})}
    return {**body, "HostConfig": {**host, **added}}


# --- parts -----------------------------------------------------------------------------------------------------------------------


def proxy_variables(env: Json, session: Session) -> tuple[str, ...]:
    """``NAME=value`` of the way out, for the names that the client did not set."""
    if session.proxy is None:
        return ()
    there = {str(line).partition("=")[0] for line in env} if isinstance(env, list) else set()
    values = {**dict.fromkeys(PROXY_NAMES, session.proxy), **dict.fromkeys(NO_PROXY_NAMES, ",".join(session.no_proxy))}
    return tuple(f"{key}={value}" for key, value in values.items() if value and key not in there)


def _image(config: Object, known: Known, session: Session) -> Thing:
    name = config.get("Image")
    if not isinstance(name, str) or not name:
        raise deny("create.image", "a container needs an image", field="Image", status=400)
    thing = known.get(Reference("image", name))
    if thing is None:
        raise refuse_image(name, session)
    return thing


def _names(host: Object, mode: str, session: Session) -> Object:
    """Nobody outside is asked, and the answer to that comes soon: 20.10 gives none. In another one's network its names are the other's,
    in a network that the user named they are that network's."""
    if mode.startswith(SHARED) or not session.own_network:
        return {}
    return {"Dns": [*NO_DNS], "DnsOptions": host.get("DnsOptions") or [*SOON]}


def _published(asked: Object, body: Object, ports: tuple[PortAsk, ...], mode: str, session: Session) -> tuple[PortAsk, ...]:
    """What is opened: nothing without a network. Where the engine publishes, it opens what the body exposes, too: on loopback, by us."""
    if mode.startswith(SHARED) and (ports or asked.get("PublishAllPorts")):
        field = "HostConfig.PortBindings"
        raise deny("create.ports", "a container that shares another one's network publishes no ports", field=field, status=400)
    if mode == "none":
        return ()
    return ports if session.own_network else (*ports, *publish_all(body, {}))


def _held_by_freezing(mounts: Sequence[MountAsk], session: Session) -> bool:
    """The engine restarts containers by itself, and resolves their binds anew while nobody holds them."""
    return session.plan.pinning == "freeze" and any(isinstance(ask, BindAsk) for ask in mounts)


def _refuse_inherited_binds(host: Object, session: Session) -> None:
    """Inherited binds would be resolved at a start that nobody checks."""
    if host.get("VolumesFrom") and session.plan.pinning == "freeze":
        raise deny(
            "create.volumes-from", "on this engine mounts of another container cannot be held fast", field="HostConfig.VolumesFrom",
            allowed="the same Binds or Mounts",
        )  # fmt: skip


def _new_volumes(mounts: Sequence[MountAsk], known: Known) -> int:
    names = {ask.name for ask in mounts if isinstance(ask, VolumeAsk) and ask.name and known.get(Reference("volume", ask.name)) is None}
    return len(names) + sum(isinstance(ask, VolumeAsk) and ask.name is None for ask in mounts)


def _shown(asked: Object, mode: str, added: tuple[str, ...], *, publish: bool) -> Shown:
    """What the client said, where something else is forwarded."""
    binds, mounts, restart = asked.get("Binds"), asked.get("Mounts"), asked.get("RestartPolicy")
    return Shown(
        network_mode=mode or "default",
        port_bindings=_object(asked.get("PortBindings")),
        publish_all=publish and asked.get("PublishAllPorts") is True,
        binds=tuple(map(str, binds)) if isinstance(binds, list) else None,
        mounts=tuple(map(_object, mounts)) if isinstance(mounts, list) else None,
        restart=_object(restart),
        env=added,
    )


def _volume_entry(ask: VolumeAsk, target: str, labels: Object) -> Object:
    """Labels are those of a volume that is made with the container; an existing one keeps its own."""
    options: Object = {"Labels": labels, **({"NoCopy": True} if ask.no_copy else {})}
    return {"Type": "volume", "Source": ask.name or "", "Target": target, "ReadOnly": ask.read_only, "VolumeOptions": options}


def _free(target: str, entries: Sequence[Json], tmpfs: Object) -> str:
    if target in tmpfs or any(isinstance(entry, dict) and entry.get("Target") == target for entry in entries):
        raise deny("mounts.duplicate", f"two mounts have the target {target!r}", field="HostConfig", status=400)
    return target


def _without(host: Object, *names: str) -> Object:
    return {key: value for key, value in host.items() if key not in names}


def _object(value: Json) -> Object:
    return value if isinstance(value, dict) else {}


# --- references ------------------------------------------------------------------------------------------------------------------


def _references(body: Object) -> Iterator[Reference]:
    host, networking = _object(body.get("HostConfig")), _object(body.get("NetworkingConfig"))
    if isinstance(image := body.get("Image"), str) and image:
        yield Reference("image", image)
    joined = _object(networking.get("EndpointsConfig"))
    for mode in (host.get("NetworkMode"), *joined):
        if (name := named_network(mode)) is not None:
            yield Reference("network", name)
    for mode in (*(host.get(key) for key in ("NetworkMode", "PidMode", "IpcMode")), *joined):
        if (name := shared_with(mode)) is not None:
            yield Reference("container", name)
    for value in _texts(host.get("VolumesFrom")):
        yield Reference("container", value.partition(":")[0])
    for value in _texts(host.get("Links")):
        if name := linked(value):
            yield Reference("container", name)
    for endpoint in joined.values():
        yield from link_references(endpoint)
    for value in _texts(host.get("Binds")):
        source, colon, _ = value.partition(":")
        if colon and source and not source.startswith("/"):
            yield Reference("volume", source)
    mounts = host.get("Mounts")
    for mount in map(_object, mounts if isinstance(mounts, list) else []):
        if mount.get("Type") == "volume" and isinstance(volume := mount.get("Source"), str) and volume:
            yield Reference("volume", volume)


def _texts(value: Json) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
