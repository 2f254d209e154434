"""One call, one decision: the route's row says what it is about, a judge below says what becomes of it. Pure.

    parse(...) -> Call;  references(call) -> what it names;  (the rim finds each)  decide(call, known, state) -> Forward | Reply

What is not there and what belongs to somebody else look the same: 404, in the daemon's own words.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from orchestrator.guard import builds, container, execs, images, networks, update, volumes
from orchestrator.guard.calls import (
    Answer,
    BindAsk,
    Commit,
    ConnectNetwork,
    CreateExec,
    CreateNetwork,
    CreateVolume,
    Decision,
    Denied,
    Forward,
    Json,
    Kind,
    Known,
    Load,
    Object,
    Pull,
    Reference,
    RemoveContainer,
    RemoveImage,
    RemoveNetwork,
    RemoveVolume,
    Reply,
    Session,
    StartContainer,
    StartExec,
    TagImage,
    ThawContainer,
    Thing,
    UpdateContainer,
    Usage,
    deny,
)
from orchestrator.guard.filters import Listed, judge_filters, strict_references, with_ids, with_own_label
from orchestrator.guard.imagenames import refuse_image
from orchestrator.guard.mounts import parse_mounts
from orchestrator.guard.ports import parse_ports
from orchestrator.guard.queries import Pairs, judge
from orchestrator.guard.quota import admit
from orchestrator.guard.registry import Registry
from orchestrator.guard.routes import Route, find
from orchestrator.guard.strictjson import encode
from orchestrator.guard.target import Target, one
from orchestrator.model.guard import EGRESS_PORT, IMAGE_RUN, MADE, NEWEST_API, ROLE

BUILD_PROXY = f"http://127.0.0.1:{EGRESS_PORT}"  # in a build's own place
IMAGE_RULE = "image.not-allowed"


@dataclass(frozen=True, slots=True)
class Call:
    """One request, understood. ``ref``: what stands in the path's place holder. ``body``: None where there is none, or a stream."""

    route: Route
    version: tuple[int, int]
    ref: str
    query: Pairs
    body: Object | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What a decision depends on besides the call. ``taken``: networks (CIDR) that this machine uses. ``builds``: the network of builds."""

    session: Session
    registry: Registry
    taken: tuple[str, ...] = ()
    platform: str = ""
    builds: str = "none"


def ceiling(session: Session) -> tuple[int, int]:
    """The newest version that is spoken: fields of a newer one have not been judged."""
    return min(session.plan.api, NEWEST_API)


def route_call(method: str, target: Target, session: Session) -> Call:
    """Raises Denied. The body is read afterwards, as the route says."""
    newest = ceiling(session)
    version = target.version or newest
    if version > newest:
        text = f"client version {version[0]}.{version[1]} is too new. Maximum supported API version is {newest[0]}.{newest[1]}"
        raise deny("target.version", text, status=400)
    route, ref = find(method, target.segments, session.plan.mode)
    return Call(route, version, ref, target.query)


def references(call: Call) -> tuple[Reference, ...]:
    """Everything that the call names. Raises Denied."""
    found: list[Reference] = []
    if call.route.thing is not None:
        found.append(Reference(call.route.thing, call.ref))
    if (more := _REFERENCES.get(call.route.id)) is not None:
        found += more(call)
    return tuple(dict.fromkeys(found))


def decide(call: Call, known: Known, state: State) -> Decision:
    """Raises Denied."""
    return _JUDGES.get(call.route.id, _plain)(call, known, state)


def missing(kind: Kind, text: str) -> Denied:
    """In the daemon's own words: clients look at them."""
    words = {
        "container": f"No such container: {text}",
        "network": f"network {text} not found",
        "volume": f"get {text}: no such volume",
        "image": f"No such image: {text}",
        "exec": f"No such exec instance: {text}",
    }
    return deny("missing", words[kind], status=404)


def found(known: Known, kind: Kind, text: str) -> Thing:
    """Raises Denied: it is not there for this client."""
    thing = known.get(Reference(kind, text))
    if thing is None:
        raise missing(kind, text)
    return thing


def usable_image(known: Known, text: str, state: State) -> Thing:
    """Raises Denied: not here (then clients pull it), or not allowed."""
    thing = known.get(Reference("image", text))
    if thing is not None:
        return thing
    if images.is_allowed_name(text, state.session, state.registry.images):
        raise missing("image", text)
    raise refuse_image(text, state.session)


def image_asked(call: Call) -> str:
    """The image that a create or a pull is about."""
    image = (call.body or {}).get("Image")
    if isinstance(image, str):
        return image
    name, tag = one(call.query, "fromImage") or "", one(call.query, "tag") or ""
    return f"{name}@{tag}" if ":" in tag else f"{name}:{tag}" if tag else name


# --- references besides the one in the path --------------------------------------------------------------------------------------


def _create_references(call: Call) -> tuple[Reference, ...]:
    return container.references(call.body or {})


def _filter_references(call: Call) -> tuple[Reference, ...]:
    _, named = judge_filters(one(call.query, "filters"), _LISTED[call.route.id])
    before = [one(call.query, name) for name in ("before", "since")] if call.route.id == "containers.list" else []
    return (*named, *(Reference("container", text) for text in before if text))


def _connect_references(call: Call) -> tuple[Reference, ...]:
    return networks.references(call.body or {})


def _commit_references(call: Call) -> tuple[Reference, ...]:
    return (Reference("container", one(call.query, "container") or ""),)


def _save_references(call: Call) -> tuple[Reference, ...]:
    return tuple(Reference("image", name) for name in _saved(call))


_LISTED: Mapping[str, Listed] = {
    "containers.list": "container", "networks.list": "network", "volumes.list": "volume", "images.list": "image", "system.events": "events",
    "containers.prune": "prune", "networks.prune": "prune", "volumes.prune": "prune", "images.prune": "prune",
}  # fmt: skip

_REFERENCES: Mapping[str, Callable[[Call], tuple[Reference, ...]]] = {
    "containers.create": _create_references,
    "networks.connect": _connect_references,
    "networks.disconnect": _connect_references,
    "images.commit": _commit_references,
    "images.save": _save_references,
    **dict.fromkeys(_LISTED, _filter_references),
}


# --- judges ----------------------------------------------------------------------------------------------------------------------


def _plain(call: Call, known: Known, state: State) -> Forward:
    """What the row says, with the full id in the path."""
    route = call.route
    path = route.template
    if route.thing is not None:
        thing = found(known, route.thing, call.ref)
        path = path.replace("{id}", thing.id).replace("{name...}", thing.id)
    query = tuple(judge(call.query, route.query).items())
    return Forward(route.id, route.method, path, query, upload=route.body == "stream", answer=route.answer)


def _looked_into(call: Call, known: Known, state: State) -> Forward:
    """The daemon mounts a container's binds anew for this: where only freezing holds their sources, nobody could."""
    made = state.registry.containers.get(found(known, "container", call.ref).id)
    mounts = made is not None and any(isinstance(ask, BindAsk) for ask in made.mounts)
    if mounts and state.session.plan.pinning == "freeze":
        reason = "the daemon itself would write, which nobody can hold up: a container with the project mounted is not copied from or into"
        raise deny("mounts.archive", reason, allowed="docker exec")
    return _plain(call, known, state)


def _thawed(call: Call, known: Known, state: State) -> Forward:
    return replace(_plain(call, known, state), effect=ThawContainer(found(known, "container", call.ref).id))


def _started(call: Call, known: Known, state: State) -> Forward:
    return replace(_plain(call, known, state), effect=StartContainer(found(known, "container", call.ref).id))


def _removed(call: Call, known: Known, state: State) -> Forward:
    return replace(_plain(call, known, state), effect=RemoveContainer(found(known, "container", call.ref).id))


def _not_adopted(judge_it: Callable[[Call, Known, State], Forward]) -> Callable[[Call, Known, State], Forward]:
    """Containers that were there before may be used, not taken away or changed."""

    def judged(call: Call, known: Known, state: State) -> Forward:
        thing = found(known, "container", call.ref)
        if thing.id in state.registry.adopted:
            raise deny("ownership.adopted", f"container {call.ref!r} was there before: it can be used, not {_VERBS[call.route.id]}")
        return judge_it(call, known, state)

    return judged


_VERBS = {"containers.remove": "removed", "containers.rename": "renamed", "containers.update": "changed"}


def _create(call: Call, known: Known, state: State) -> Forward:
    query = judge(call.query, call.route.query)
    body = call.body or {}
    image = body.get("Image")
    if not isinstance(image, str) or not image:
        raise deny("create.image", "a container needs an image", field="Image", status=400)
    usable_image(known, image, state)
    name = query.get("name", "").lstrip("/") or None
    mounts, ports = parse_mounts(body, known, state.session), parse_ports(body)
    made, effect = container.judge_create(
        body, name, query.get("platform") or None, known, state.session, state.registry.usage(), mounts, ports
    )
    pairs = tuple(query.items())
    return Forward(call.route.id, "POST", "/containers/create", pairs, made, answer="as-is", effect=effect)


def _update(call: Call, known: Known, state: State) -> Forward:
    thing = found(known, "container", call.ref)
    made = state.registry.containers[thing.id]
    body, share = update.judge_update(call.body or {}, state.session, state.registry.usage_without(thing.id), made.share)
    return Forward(call.route.id, "POST", f"/containers/{thing.id}/update", (), body, effect=UpdateContainer(thing.id, share))


def _exec(call: Call, known: Known, state: State) -> Forward:
    thing = found(known, "container", call.ref)
    body = execs.judge_exec(call.body or {}, state.session, state.registry.usage())
    judge(call.query, call.route.query)
    return Forward(call.route.id, "POST", f"/containers/{thing.id}/exec", (), body, effect=CreateExec(thing.id))


def _exec_start(call: Call, known: Known, state: State) -> Forward:
    thing = found(known, "exec", call.ref)
    judge(call.query, call.route.query)
    admit(state.registry.usage(), Usage(execs=1), state.session.plan.limits)
    body = execs.judge_exec_start(call.body or {})
    answer: Answer = "as-is" if body.get("Detach") is True else "hijack"
    return Forward(call.route.id, "POST", f"/exec/{thing.id}/start", (), body, answer=answer, effect=StartExec(thing.id))


def _listed(call: Call, known: Known, state: State) -> Forward:
    """A list is asked for with our label where that is enough, and filtered again when it comes."""
    query = judge(call.query, call.route.query)
    kind = _LISTED[call.route.id]
    filters, _ = judge_filters(query.pop("filters", None), kind)
    for reference in strict_references(filters, kind):
        found(known, reference.kind, reference.text)
    filters = with_ids(filters, kind, known, state.session)
    if kind == "container":
        query |= {name: found(known, "container", query[name]).id for name in ("before", "since") if query.get(name)}
    if call.route.id == "images.prune":
        # Never those with names: what a user builds on an image of the session's has its label.
        filters = {**filters, "dangling": ["true"], "label": [*_labels_of(filters), f"{IMAGE_RUN}={state.session.id}"]}
    elif kind == "prune" or (kind == "container" and not state.registry.adopted):
        filters = _with_role(with_own_label(filters, state.session))
    elif kind == "container":
        query.pop("limit", None)  # it would count what is hidden
    return Forward(call.route.id, call.route.method, call.route.template, _with_filters(query, filters), answer=call.route.answer)


def _with_filters(query: Mapping[str, str], filters: Object) -> Pairs:
    return (*query.items(), *((("filters", encode(filters).decode()),) if filters else ()))


def _with_role(filters: Object) -> Object:
    """Only what clients made: not the network and the gate that are ours."""
    return {**filters, "label": [*_labels_of(filters), f"{ROLE}={MADE}"]}


def _labels_of(filters: Object) -> list[Json]:
    labels = filters.get("label")
    return labels if isinstance(labels, list) else []


def _events(call: Call, known: Known, state: State) -> Forward:
    query = judge(call.query, call.route.query)
    filters, _ = judge_filters(query.pop("filters", None), "events")
    filters = with_ids(filters, "events", known, state.session)
    return Forward(call.route.id, "GET", "/events", _with_filters(query, filters), answer="events")


def _network_create(call: Call, known: Known, state: State) -> Forward:
    body = networks.judge_create(call.body or {}, state.session, state.registry.usage(), state.taken)
    return Forward(call.route.id, "POST", "/networks/create", (), body, effect=CreateNetwork(str(body["Name"])))


def _network_removed(call: Call, known: Known, state: State) -> Forward:
    _own_network(call, known, state, "removed")
    return replace(_plain(call, known, state), effect=RemoveNetwork(found(known, "network", call.ref).id))


def _own_network(call: Call, known: Known, state: State, verb: str) -> Thing:
    thing = found(known, "network", call.ref)
    if thing.id == state.session.network:
        raise deny("network.session", f"network {call.ref!r} is the session's own and cannot be {verb}")
    return thing


def _connect(call: Call, known: Known, state: State) -> Forward:
    network = found(known, "network", call.ref)
    body = networks.judge_connect(call.body or {}, known)
    target = str(body["Container"])
    _made_here(target, state)
    return Forward(call.route.id, "POST", f"/networks/{network.id}/connect", (), body, effect=ConnectNetwork(network.id, target))


def _disconnect(call: Call, known: Known, state: State) -> Forward:
    network = found(known, "network", call.ref)
    body = networks.judge_disconnect(call.body or {}, known)
    _made_here(str(body["Container"]), state)
    return Forward(call.route.id, "POST", f"/networks/{network.id}/disconnect", (), body)


def _made_here(full_id: str, state: State) -> None:
    """A container that was there before keeps its networks: it may have a way out that ours have not."""
    if full_id in state.registry.adopted:
        raise deny("ownership.adopted", "a container that was there before stays in its networks")


def _volume_create(call: Call, known: Known, state: State) -> Forward:
    body = volumes.judge_create(call.body or {}, state.session, state.registry.usage())
    return Forward(call.route.id, "POST", "/volumes/create", (), body, answer="volume", effect=CreateVolume(str(body.get("Name") or "")))


def _volume_removed(call: Call, known: Known, state: State) -> Forward:
    return replace(_plain(call, known, state), effect=RemoveVolume(found(known, "volume", call.ref).id))


def _pull(call: Call, known: Known, state: State) -> Forward:
    reference = images.may_pull(call.query, state.session)
    pairs = images.pull_pairs(reference)
    return Forward(call.route.id, "POST", "/images/create", pairs, answer="progress", effect=Pull(reference))


def _tag(call: Call, known: Known, state: State) -> Forward:
    query = judge(call.query, call.route.query)
    thing = usable_image(known, call.ref, state)
    reference = images.free_tag(_joined(query), state.session, state.registry.images)
    repository, tag = images.split_tag(reference)
    pairs = (("repo", repository), ("tag", tag))
    return Forward(call.route.id, "POST", f"/images/{thing.id}/tag", pairs, effect=TagImage(thing.id, reference))


def _joined(query: Mapping[str, str]) -> str:
    return f"{query.get('repo', '')}:{query['tag']}" if query.get("tag") else query.get("repo", "")


def _commit(call: Call, known: Known, state: State) -> Forward:
    thing = found(known, "container", one(call.query, "container") or "")
    _made_here(thing.id, state)
    pairs, body, reference = images.judge_commit(call.query, call.body or {}, thing.id, state.session, state.registry.images)
    return Forward(call.route.id, "POST", "/commit", pairs, body, effect=Commit(thing.id, reference))


def _image_removed(call: Call, known: Known, state: State) -> Forward:
    query = judge(call.query, call.route.query)
    thing = usable_image_or_missing(known, call.ref)
    reference = images.may_remove(call.ref, thing.id, state.session, state.registry.images, thing.tags)
    path = f"/images/{reference}"
    return Forward(call.route.id, "DELETE", path, tuple(query.items()), answer=call.route.answer, effect=RemoveImage(reference))


def _image_seen(call: Call, known: Known, state: State) -> Forward:
    usable_image_or_missing(known, call.ref)
    return _plain(call, known, state)


def usable_image_or_missing(known: Known, text: str) -> Thing:
    """For looking at: a foreign image is not there."""
    return found(known, "image", text)


def _nothing_pruned(call: Call, known: Known, state: State) -> Reply:
    """The build cache is everybody's: of it nothing goes."""
    return Reply(call.route.id, 200, {"CachesDeleted": None, "SpaceReclaimed": 0})


def _no_plugin(call: Call, known: Known, state: State) -> Forward:
    raise deny("missing", f"plugin {call.ref!r} not found", status=404)


def _load(call: Call, known: Known, state: State) -> Forward:
    return replace(_plain(call, known, state), effect=Load())


def _saved(call: Call) -> list[str]:
    return [part for key, value in call.query if key == "names" for part in value.split(",") if part]


def _named(image: Thing) -> str:
    """An archive holds the names that were asked for: where a name means that very image, it is asked for by it."""
    return image.name or image.id


def _save_one(call: Call, known: Known, state: State) -> Forward:
    path = f"/images/{_named(found(known, 'image', call.ref))}/get"
    return replace(_plain(call, known, state), path=path)


def _save(call: Call, known: Known, state: State) -> Forward:
    rest = tuple(pair for pair in call.query if pair[0] != "names")
    names = [_named(found(known, "image", name)) for name in _saved(call)]
    if not names:
        raise deny("query.value", "which images?", field="names", status=400)
    pairs = (*judge(rest, call.route.query).items(), *(("names", name) for name in names))
    return Forward(call.route.id, "GET", "/images/get", pairs, answer="stream")


def _build(call: Call, known: Known, state: State) -> Forward:
    session = replace(state.session, proxy=None if state.session.proxy is None else BUILD_PROXY)
    network = state.builds if state.session.own_network else ""
    pairs, effect = builds.judge_build(call.query, session, state.registry.images, state.platform, network)
    return Forward(call.route.id, "POST", "/build", pairs, answer="progress", upload=True, effect=effect)


_JUDGES: Mapping[str, Callable[[Call, Known, State], Decision]] = {
    "containers.list": _listed,
    "networks.list": _listed,
    "volumes.list": _listed,
    "images.list": _listed,
    "containers.prune": _listed,
    "networks.prune": _listed,
    "volumes.prune": _listed,
    "images.prune": _listed,
    "system.events": _events,
    "containers.create": _create,
    **dict.fromkeys(("containers.get-files", "containers.put-files", "containers.stat-file", "containers.export"), _looked_into),
    "containers.unpause": _thawed,
    "containers.start": _started,
    "containers.restart": _started,
    "containers.remove": _not_adopted(_removed),
    "containers.rename": _not_adopted(_plain),
    "containers.update": _not_adopted(_update),
    "exec.create": _exec,
    "exec.start": _exec_start,
    "networks.create": _network_create,
    "networks.remove": _network_removed,
    "networks.connect": _connect,
    "networks.disconnect": _disconnect,
    "volumes.create": _volume_create,
    "volumes.remove": _volume_removed,
    "images.pull": _pull,
    "images.tag": _tag,
    "images.commit": _commit,
    "images.remove": _image_removed,
    "images.inspect": _image_seen,
    "images.history": _image_seen,
    "images.save": _save,
    "images.save-one": _save_one,
    "plugins.inspect": _no_plugin,
    "build.prune": _nothing_pruned,
    "images.load": _load,
    "build": _build,
}
