"""The words of the guard: what a client asked, what was found about what it names, and what becomes of it. Pure.

    bytes -> Call -> references -> (found by the rim) -> decide -> Forward | Reply, or Denied is raised

One request, one decision. What is forwarded is written anew from a ``Forward``; nothing of the client's bytes goes on but streams
(archives, build contexts, terminals), which have rules of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.model.guard import GuardPlan

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Object = dict[str, Json]

Kind = Literal["container", "network", "volume", "image", "exec"]


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a call is refused. ``rule``: a stable id (docs/docker.md); ``field``: where in path, query or body, as ``HostConfig.Binds[0]``;
    ``allowed``: what would have passed; ``remedy``: what the user, not the agent, could do; None: nothing allows it.

    ``status``: 400 where the request is malformed, 403 where it is understood and not allowed, 404 for what is not there (for this client),
    409 for a conflict, 413 for too much, 501 for what the guard does not speak.
    """

    rule: str
    reason: str
    field: str | None = None
    allowed: str | None = None
    remedy: str | None = None
    status: int = 403

    @property
    def message(self) -> str:
        """One line for the client: Docker's clients print it."""
        where = f" ({self.field})" if self.field else ""
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        remedy = f"; to allow it, the user can: {self.remedy}" if self.remedy else ""
        return f"aienv guard: {self.reason}{where}{allowed}{remedy} [{self.rule}]"


class Denied(Exception):
    """Raised by everything that judges."""

    def __init__(self, denial: Denial) -> None:
        super().__init__(denial.message)
        self.denial = denial


def deny(
    rule: str, reason: str, *, field: str | None = None, allowed: str | None = None, remedy: str | None = None, status: int = 403
) -> Denied:
    """``raise deny("mounts.outside", "...")``."""
    return Denied(Denial(rule, reason, field, allowed, remedy, status))


@dataclass(frozen=True, slots=True)
class Reference:
    """Something that a call names, as the client wrote it: a name, an id, or the beginning of one."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Thing:
    """What a reference led to, and belongs to this session. ``id``: the full id (64 hex digits; ``sha256:...`` of an image, the name of a
    volume); ``name`` without a leading slash. ``tags``: all names that an image has in the engine."""

    kind: Kind
    id: str
    name: str
    tags: tuple[str, ...] = ()


Known = Mapping[Reference, Thing | None]  # None: not there, or not this session's: the two look the same


@dataclass(frozen=True, slots=True)
class PathMap:
    """A folder that clients know as ``inside`` and the daemon as ``host``. Both absolute and clean."""

    inside: str
    host: str


@dataclass(frozen=True, slots=True)
class Session:
    """What one guard serves. ``maps``: the project, and what else may be mounted (its first is the project itself).

    ``sockets``: paths under which clients may name the daemon's socket: a bind of one becomes one of ``stand_in`` (a host path).
    ``uid``, ``gid``: whose missing mount sources are. ``network``: id of the network that containers live on, when it is known;
    ``network_name``: its name. ``own_network``: we made it (so it has no way out but the proxy); False: the user named it.
    ``proxy``: ``http://aienv-egress:3128`` where there is a way out, else None. ``no_proxy``: names that need none.
    """

    id: str
    plan: GuardPlan
    maps: tuple[PathMap, ...]
    sockets: tuple[str, ...] = ()
    stand_in: str | None = None
    uid: int = 0
    gid: int = 0
    network: str | None = None
    network_name: str = ""
    own_network: bool = True
    proxy: str | None = None
    no_proxy: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What the session has now, for quotas. Sums over its containers, running or not; ``execs``: those that run."""

    containers: int = 0
    memory_bytes: int = 0
    cpus: float = 0.0
    pids: int = 0
    volumes: int = 0
    networks: int = 0
    execs: int = 0
    ports: int = 0
    images: int = 0


# --- mounts and ports of a container that is created ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BindAsk:
    """A file or folder of a map. ``map``: which of ``Session.maps``; ``path``: below its root, clean, without slashes at its ends; empty:
    the root itself. ``make``: a missing source is made as a folder (``-v``), else it is an error (``--mount``)."""

    map: int
    path: str
    target: str
    read_only: bool
    make: bool


@dataclass(frozen=True, slots=True)
class SocketAsk:
    """A bind of the daemon's socket, which becomes the guard's own."""

    target: str


@dataclass(frozen=True, slots=True)
class VolumeAsk:
    """``name``: of a volume of the session, existing or to be made; None: an anonymous one."""

    name: str | None
    target: str
    read_only: bool
    no_copy: bool


@dataclass(frozen=True, slots=True)
class TmpfsAsk:
    target: str
    size_bytes: int | None
    mode: int | None
    options: str = ""  # of HostConfig.Tmpfs: rw, noexec, nosuid, nodev, exec, suid, dev, ro


MountAsk = BindAsk | SocketAsk | VolumeAsk | TmpfsAsk


@dataclass(frozen=True, slots=True)
class PortAsk:
    """``host_port`` 0: any free one. ``host_ip``: as the client wrote it; shown again, never used. ``last_port``: of a range of host ports,
    of which the first free one is taken; 0: no range."""

    port: int
    protocol: Literal["tcp"]
    host_ip: str
    host_port: int
    last_port: int = 0


@dataclass(frozen=True, slots=True)
class Shown:
    """What a client asked for where something else was forwarded: inspect answers say it again.

    ``network_mode``: HostConfig.NetworkMode; ``port_bindings``: HostConfig.PortBindings; ``binds``: HostConfig.Binds; ``mounts``:
    HostConfig.Mounts; ``restart``: HostConfig.RestartPolicy. ``env``: how many variables at the end of Config.Env are the guard's.
    ``image``: Config.Image; empty: as the engine says it.
    """

    network_mode: str = ""
    port_bindings: Object = field(default_factory=dict)
    publish_all: bool = False
    binds: tuple[str, ...] | None = None
    mounts: tuple[Object, ...] | None = None
    restart: Object = field(default_factory=dict)
    env: tuple[str, ...] = ()
    image: str = ""


# --- what becomes of a call ----------------------------------------------------------------------------------------------------

Answer = Literal[
    "as-is",  # small JSON or nothing, with nothing of others in it
    "stream",  # bytes, as they come
    "hijack",  # after 101 (or 200 of a raw stream) both ends are a tunnel
    "container", "containers", "network", "networks", "volume", "volumes", "image", "images", "exec",  # filtered, mapped, redacted
    "history", "removed-image",  # of images: the same
    "info", "version", "df", "events", "ping", "prune", "progress",  # progress: lines of JSON (pull, build, load)
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class NoEffect:
    """The answer tells everything."""


@dataclass(frozen=True, slots=True)
class CreateContainer:
    """``Forward.body`` lacks the mounts: they are pinned first (``guard.container.with_mounts``). ``reserve``: its share of the usage."""

    name: str | None
    image: str
    mounts: tuple[MountAsk, ...]
    ports: tuple[PortAsk, ...]
    shown: Shown
    reserve: Usage


@dataclass(frozen=True, slots=True)
class StartContainer:
    """start, restart: sources are held fast while the daemon resolves them; ports are opened after."""

    id: str


@dataclass(frozen=True, slots=True)
class ThawContainer:
    """unpause: not while others are held still."""

    id: str


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    id: str


@dataclass(frozen=True, slots=True)
class UpdateContainer:
    id: str
    reserve: Usage  # its new shares, in place of the old ones


@dataclass(frozen=True, slots=True)
class CreateExec:
    container: str


@dataclass(frozen=True, slots=True)
class StartExec:
    id: str


@dataclass(frozen=True, slots=True)
class CreateNetwork:
    name: str


@dataclass(frozen=True, slots=True)
class RemoveNetwork:
    id: str


@dataclass(frozen=True, slots=True)
class CreateVolume:
    """``name``: empty for one that the daemon names. The answer must carry our label: an existing volume of someone else answers, too."""

    name: str


@dataclass(frozen=True, slots=True)
class RemoveVolume:
    name: str


@dataclass(frozen=True, slots=True)
class Pull:
    """An image of the allow list; pinned by its id when the pull has ended well."""

    reference: str


@dataclass(frozen=True, slots=True)
class Build:
    """The context is read, judged (``guard.context``) and only then sent. ``dockerfile``: its path in the context; ``tags``: canonical,
    each free to be made. ``arguments``: for ARG in FROM; ``target``: stage or empty."""

    dockerfile: str
    tags: tuple[str, ...]
    arguments: Mapping[str, str]
    target: str


@dataclass(frozen=True, slots=True)
class TagImage:
    id: str
    reference: str


@dataclass(frozen=True, slots=True)
class Commit:
    container: str
    reference: str | None


@dataclass(frozen=True, slots=True)
class Load:
    """An archive of images: every name and id in its manifest is judged before anything is sent."""


@dataclass(frozen=True, slots=True)
class RemoveImage:
    """``reference``: of one of the session's own tags or images."""

    reference: str


@dataclass(frozen=True, slots=True)
class ConnectNetwork:
    network: str
    container: str


Effect = (
    NoEffect | CreateContainer | StartContainer | ThawContainer
    | RemoveContainer | UpdateContainer | CreateExec | StartExec | CreateNetwork | RemoveNetwork
    | CreateVolume | RemoveVolume | Pull | Build | TagImage | Commit | Load | RemoveImage | ConnectNetwork
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Forward:
    """The request to send. ``path`` without the version, with full ids; ``query``: names and values, not yet escaped; ``body``: None: none,
    or the client's stream (``upload``). ``headers``: beside Host, Content-Type and framing."""

    rule: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Object | None = None
    headers: tuple[tuple[str, str], ...] = ()
    upload: bool = False
    answer: Answer = "as-is"
    effect: Effect = field(default_factory=NoEffect)


@dataclass(frozen=True, slots=True)
class Reply:
    """Answered by the guard itself."""

    rule: str
    status: int
    body: Json


Decision = Forward | Reply
