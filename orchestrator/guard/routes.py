"""What the guard speaks: one row per method and path, closed by default. Pure.

A template's ``{id}`` is one segment, ``{name...}`` one or more (names of images have slashes). A request that no row matches is refused,
GETs included. Who may be asked for in mode ``readonly`` is a column.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.guard import queries as q
from orchestrator.guard.calls import Answer, Denied, Kind, deny
from orchestrator.guard.queries import QueryRule
from orchestrator.model.guard import GuardMode

BodyKind = Literal["none", "empty", "json", "stream"]


@dataclass(frozen=True, slots=True)
class Route:
    """``body``: ``none`` may have none, ``empty`` none or ``{}``, ``json`` an object, ``stream`` goes on as it comes or by its own rules.

    ``thing``: what ``{id}`` or ``{name...}`` is. ``refused``: why nobody may ask this, with the way out: for calls that clients do make.
    """

    id: str
    method: str
    template: str
    readonly: bool = False
    thing: Kind | None = None
    body: BodyKind = "none"
    answer: Answer = "as-is"
    query: Mapping[str, QueryRule] = field(default_factory=dict)
    refused: str | None = None
    remedy: str | None = None


LIST = {"all": q.flag, "limit": q.number, "size": q.flag, "filters": q.text, "since": q.text, "before": q.text, "trunc_cmd": q.unused}
LOGS = {
    "follow": q.flag, "stdout": q.flag, "stderr": q.flag, "since": q.moment, "until": q.moment, "timestamps": q.flag, "tail": q.tail,
    "details": q.flag,
}  # fmt: skip
ATTACH = {"stream": q.flag, "stdin": q.flag, "stdout": q.flag, "stderr": q.flag, "logs": q.flag, "detachKeys": q.detach_keys}
ARCHIVE = {"path": q.path, "noOverwriteDirNonDir": q.flag, "copyUIDGID": q.flag}
SIZE = {"h": q.number, "w": q.number}
FILTERS = {"filters": q.filters}

BUILDKIT = "BuildKit's own protocol cannot be judged here; the classic builder works"
USE_CLASSIC = "DOCKER_BUILDKIT=0 docker build, as is set inside"
DAEMON_ASKS = "the daemon itself would ask a server for this, outside of the rules for the network"

ROUTES: tuple[Route, ...] = (
    Route("system.ping", "GET", "/_ping", readonly=True, answer="ping"),
    Route("system.ping", "HEAD", "/_ping", readonly=True, answer="ping"),
    Route("system.version", "GET", "/version", readonly=True, answer="version"),
    Route("system.info", "GET", "/info", readonly=True, answer="info"),
    Route("system.df", "GET", "/system/df", readonly=True, answer="df", query={"type": q.types, "verbose": q.flag}),
    Route(
        "system.events", "GET", "/events", readonly=True, answer="events", query={"since": q.moment, "until": q.moment, **FILTERS}
    ),
    # containers
    Route("containers.list", "GET", "/containers/json", readonly=True, answer="containers", query={**LIST, **FILTERS}),
    Route("containers.create", "POST", "/containers/create", body="json", query={"name": q.name, "platform": q.text}),
    Route("containers.prune", "POST", "/containers/prune", answer="prune", query=FILTERS),
    Route(
        "containers.inspect", "GET", "/containers/{id}/json", readonly=True, thing="container", answer="container", query={"size": q.flag}
    ),
    Route("containers.top", "GET", "/containers/{id}/top", readonly=True, thing="container", query={"ps_args": q.ps_arguments}),
    Route("containers.logs", "GET", "/containers/{id}/logs", readonly=True, thing="container", answer="stream", query=LOGS),
    Route("containers.changes", "GET", "/containers/{id}/changes", readonly=True, thing="container"),
    Route(
        "containers.stats", "GET", "/containers/{id}/stats", readonly=True, thing="container", answer="stream",
        query={"stream": q.flag, "one-shot": q.flag},
    ),
    Route("containers.export", "GET", "/containers/{id}/export", thing="container", answer="stream"),
    Route("containers.stat-file", "HEAD", "/containers/{id}/archive", thing="container", query=ARCHIVE),
    Route("containers.get-files", "GET", "/containers/{id}/archive", thing="container", answer="stream", query=ARCHIVE),
    Route("containers.put-files", "PUT", "/containers/{id}/archive", thing="container", body="stream", query=ARCHIVE),
    Route("containers.start", "POST", "/containers/{id}/start", thing="container", body="empty", query={"detachKeys": q.detach_keys}),
    Route("containers.stop", "POST", "/containers/{id}/stop", thing="container", body="empty", query={"t": q.number, "signal": q.signal}),
    Route(
        "containers.restart", "POST", "/containers/{id}/restart", thing="container", body="empty",
        query={"t": q.number, "signal": q.signal},
    ),
    Route("containers.kill", "POST", "/containers/{id}/kill", thing="container", body="empty", query={"signal": q.signal}),
    Route("containers.pause", "POST", "/containers/{id}/pause", thing="container", body="empty"),
    Route("containers.unpause", "POST", "/containers/{id}/unpause", thing="container", body="empty"),
    Route("containers.rename", "POST", "/containers/{id}/rename", thing="container", body="empty", query={"name": q.name}),
    Route("containers.resize", "POST", "/containers/{id}/resize", thing="container", body="empty", query=SIZE),
    Route("containers.update", "POST", "/containers/{id}/update", thing="container", body="json"),
    Route(
        "containers.wait", "POST", "/containers/{id}/wait", thing="container", body="empty", answer="stream",
        query={"condition": q.condition},
    ),
    Route("containers.attach", "POST", "/containers/{id}/attach", thing="container", body="empty", answer="hijack", query=ATTACH),
    Route(
        "containers.attach-ws", "GET", "/containers/{id}/attach/ws",
        refused="attaching by WebSocket writes with a GET, and no known client needs it", remedy="docker attach, which asks by POST",
    ),
    Route(
        "containers.remove", "DELETE", "/containers/{id}", thing="container", body="empty",
        query={"v": q.flag, "force": q.flag, "link": q.false},
    ),
    # commands in containers
    Route("exec.create", "POST", "/containers/{id}/exec", thing="container", body="json"),
    Route("exec.inspect", "GET", "/exec/{id}/json", thing="exec", answer="exec"),
    Route("exec.start", "POST", "/exec/{id}/start", thing="exec", body="json", answer="hijack"),
    Route("exec.resize", "POST", "/exec/{id}/resize", thing="exec", body="empty", query=SIZE),
    # images
    Route(
        "images.list", "GET", "/images/json", readonly=True, answer="images",
        query={"all": q.flag, "digests": q.flag, "shared-size": q.flag, "manifests": q.flag, "filter": q.text,
            "only_ids": q.unused, **FILTERS,
        },
    ),
    Route("images.pull", "POST", "/images/create", body="empty", answer="progress", query={
        "fromImage": q.text, "tag": q.text, "platform": q.text, "fromSrc": q.text, "repo": q.text, "message": q.text, "changes": q.text,
    }),
    Route("images.load", "POST", "/images/load", body="stream", answer="progress", query={"quiet": q.flag, "platform": q.text}),
    Route("images.save", "GET", "/images/get", answer="stream", query={"platform": q.text}),
    Route("images.prune", "POST", "/images/prune", answer="prune", query=FILTERS),
    Route("images.search", "GET", "/images/search", refused=DAEMON_ASKS),
    Route("images.inspect", "GET", "/images/{name...}/json", readonly=True, thing="image", answer="image", query={"manifests": q.flag}),
    Route(
        "images.history", "GET", "/images/{name...}/history", readonly=True, thing="image", answer="history", query={"platform": q.text}
    ),
    Route("images.save-one", "GET", "/images/{name...}/get", thing="image", answer="stream", query={"platform": q.text}),
    Route("images.push", "POST", "/images/{name...}/push", refused="pushing carries work and credentials out, past the harvest"),
    Route("images.tag", "POST", "/images/{name...}/tag", thing="image", body="empty", query={"repo": q.text, "tag": q.text}),
    Route(
        "images.remove", "DELETE", "/images/{name...}", thing="image", body="empty", answer="removed-image",
        query={"force": q.flag, "noprune": q.flag, "platforms": q.text},
    ),
    Route("images.commit", "POST", "/commit", body="json", query={
        "container": q.text, "repo": q.text, "tag": q.text, "comment": q.text, "author": q.text, "pause": q.flag, "changes": q.text,
    }),
    Route("build", "POST", "/build", body="stream", answer="progress"),  # its query: guard.builds
    Route(  # answered here: ``docker system prune`` asks for it at its end
        "build.prune", "POST", "/build/prune", body="empty", answer="prune",
        query={
            "all": q.flag, "keep-storage": q.amount, "reserved-space": q.amount, "max-used-space": q.amount, "min-free-space": q.amount,
            "filters": q.filters,
        },
    ),
    Route("build.session", "POST", "/session", refused=BUILDKIT, remedy=USE_CLASSIC),
    Route("build.grpc", "POST", "/grpc", refused=BUILDKIT, remedy=USE_CLASSIC),
    Route("images.distribution", "GET", "/distribution/{name...}/json", refused=DAEMON_ASKS),
    Route("system.auth", "POST", "/auth", refused=DAEMON_ASKS, remedy="docker login outside: images are pulled with nobody's login here"),
    # Asked for by docker inspect, when nothing else has that name.
    Route("plugins.inspect", "GET", "/plugins/{name...}/json", readonly=True),
    # networks
    Route("networks.list", "GET", "/networks", readonly=True, answer="networks", query=FILTERS),
    Route("networks.create", "POST", "/networks/create", body="json"),
    Route("networks.prune", "POST", "/networks/prune", answer="prune", query=FILTERS),
    Route(
        "networks.inspect", "GET", "/networks/{id}", readonly=True, thing="network", answer="network",
        query={"verbose": q.flag, "scope": q.scope},
    ),
    Route("networks.connect", "POST", "/networks/{id}/connect", thing="network", body="json"),
    Route("networks.disconnect", "POST", "/networks/{id}/disconnect", thing="network", body="json"),
    Route("networks.remove", "DELETE", "/networks/{id}", thing="network", body="empty"),
    # volumes
    Route("volumes.list", "GET", "/volumes", readonly=True, answer="volumes", query=FILTERS),
    Route("volumes.create", "POST", "/volumes/create", body="json", answer="volume"),
    Route("volumes.prune", "POST", "/volumes/prune", answer="prune", query=FILTERS),
    Route("volumes.inspect", "GET", "/volumes/{id}", readonly=True, thing="volume", answer="volume"),
    Route("volumes.remove", "DELETE", "/volumes/{id}", thing="volume", body="empty", query={"force": q.flag}),
)  # fmt: skip


def find(method: str, segments: tuple[str, ...], mode: GuardMode) -> tuple[Route, str]:
    """The row for a request, and what stands in its place holder (empty: it has none).

    Raises:
        Denied: no row, or none in this mode.
    """
    for route, template in _TEMPLATES:
        found = _match(template, segments) if route.method == method else None
        if found is None:
            continue
        if route.refused is not None:
            raise deny(route.id, route.refused, remedy=None, allowed=route.remedy)
        if mode == "readonly" and not route.readonly:
            raise _readonly(route)
        return route, found
    raise deny("route", f"{method} /{'/'.join(segments)[:80]} is not among the calls that are spoken here")


def _readonly(route: Route) -> Denied:
    reason = f"{route.method} {route.template} is not for mode readonly"
    remedy = "start with --docker guarded (aienv guard: --mode guarded)"
    return deny("mode.readonly", reason, allowed="looking at what there is", remedy=remedy)


_TEMPLATES = tuple((route, tuple(route.template.strip("/").split("/"))) for route in ROUTES)


def _match(template: tuple[str, ...], segments: tuple[str, ...]) -> str | None:
    """What the place holder stands for; None: another path."""
    if template[1:2] == ("{name...}",):
        tail = template[2:]
        name = segments[1 : len(segments) - len(tail)]
        fits = segments[:1] == template[:1] and name and segments[len(segments) - len(tail) :] == tail
        return "/".join(name) if fits else None
    if len(template) != len(segments):
        return None
    held = ""
    for wanted, there in zip(template, segments, strict=True):
        if wanted == "{id}":
            held = there
        elif wanted != there:
            return None
    return held
