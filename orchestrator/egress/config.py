"""What the main process tells the broker about the network of one run: one line of JSON, in memory only."""

from dataclasses import dataclass, field

from orchestrator.egress.standins import BoundSecret
from orchestrator.model.codec import from_plain, to_plain
from orchestrator.model.network import NetworkPlan


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate of the run's own authority. ``hosts``: canonical, or ``*.x``; ``cert`` (with its chain) and ``key`` are PEM."""

    hosts: tuple[str, ...]
    cert: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TlsConfig:
    leaves: tuple[Leaf, ...]


@dataclass(frozen=True, slots=True)
class SshConfig:
    """``host``: for which the agent signs; ``host_keys``: by which the user knows it, as ssh's blobs in base64.

    ``agent_socket``: the user's agent; ``listener``: under which name the socket arrives.
    """

    host: str
    host_keys: tuple[str, ...]
    agent_socket: str
    listener: str


@dataclass(frozen=True, slots=True)
class EgressConfig:
    """``upstream_ca``: a PEM bundle by which servers are judged; None: the system's."""

    run: str
    network: NetworkPlan
    secrets: tuple[BoundSecret, ...]
    tls: TlsConfig | None
    upstream_ca: str | None
    ssh: SshConfig | None


def parse(plain: object) -> EgressConfig:
    """Raises ValueError: a member is missing, unknown or of another type; the message never holds a value."""
    return from_plain(EgressConfig, plain)


def as_plain(config: EgressConfig) -> dict[str, object]:
    return dict(to_plain(config))
