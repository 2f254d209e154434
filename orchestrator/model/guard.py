"""What a guard may let through: fixed when a run is planned, or when ``aienv guard`` starts; and what came of it."""

from dataclasses import dataclass
from typing import Literal

GuardMode = Literal["readonly", "guarded", "full"]
Pinning = Literal["subpath", "descriptor", "freeze", "whole"]

# On a run's own network: where its containers find the way out.
EGRESS_NAME, EGRESS_PORT = "aienv-egress", 3128
# The guard's socket as clients inside see it; /var/run is a link to /run nearly everywhere.
SOCKET_INSIDE = "/run/docker.sock"
SOCKET_NAMES = (SOCKET_INSIDE, "/var/run/docker.sock")
MINIMUM_API, NEWEST_API = (1, 24), (1, 51)  # below: HostConfig at start (measured); above: fields that nobody has judged yet

MANAGED, RUN, ROLE, MADE = "dev.aienv.managed", "dev.aienv.run", "dev.aienv.role", "guarded"
# Of images another: a container has the labels of its image, and what a user starts from one is the user's.
IMAGE_RUN = "dev.aienv.image-run"


@dataclass(frozen=True, slots=True)
class AllowedImage:
    """``reference``: canonical, as ``guard.imagenames.canonical`` gives it. ``id``: the image that the name meant at launch,
    ``sha256:...``; None: it was not there, and is pinned when it has been pulled. ``origin``: where it was said, for people."""

    reference: str
    id: str | None
    origin: str


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """For all containers of a session together; ``container_*``: for one that asks for nothing."""

    containers: int = 32
    memory_bytes: int = 8 << 30
    cpus: float = 4.0
    pids: int = 4096
    volumes: int = 32
    networks: int = 12
    execs: int = 64  # at once
    ports: int = 128
    images: int = 64  # built, tagged or loaded
    container_memory_bytes: int = 512 << 20
    container_pids: int = 256


@dataclass(frozen=True, slots=True)
class GuardPlan:
    """``daemon``: the engine's address; ``api``: its newest version. ``pinning``: how the source of a bind is held fast (docs/docker.md).

    ``services``: names by which containers of the project's compose files call each other. ``compose``, ``mcp``: the files that were read,
    for people. ``cgroup_parent``: None where the engine's own is used. ``learn``: what a user could grant is let through and noted.
    """

    mode: GuardMode
    daemon: str
    api: tuple[int, int]
    images: tuple[AllowedImage, ...]
    services: tuple[str, ...]
    compose: tuple[str, ...]
    mcp: tuple[str, ...]
    limits: GuardLimits
    pinning: Pinning
    cgroup_parent: str | None
    learn: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DockerDenial:
    """What was refused, for one rule, field and reason. ``remedy``: what a user could do to allow it; None: nothing allows it."""

    rule: str
    request: str
    field: str | None
    reason: str
    allowed: str | None
    remedy: str | None
    count: int


@dataclass(frozen=True, slots=True)
class DockerUse:
    """``allowed``: (method and path template, how often)."""

    allowed: tuple[tuple[str, int], ...]
    denied: tuple[DockerDenial, ...]


NO_DOCKER_USE = DockerUse((), ())
