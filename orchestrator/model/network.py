"""What may leave the environment: rules, as a plan fixes them, and what came of each attempt."""

from dataclasses import dataclass
from typing import Literal

from orchestrator.model.task import NetworkMode

Phase = Literal["setup", "agent", "check"]
PHASES: tuple[Phase, ...] = ("setup", "agent", "check")

# On the sandbox's own loopback. The numbers are part of what runs inside may rely on (docs/network.md).
PROXY_PORT = 3128  # absolute-form HTTP and CONNECT
GATEWAY_PORT = 3129  # reverse proxy: /<service>/... goes to the service's own host
SSH_SOCKET = "/run/ssh-agent.sock"

AGENT_ORIGIN = "agent "  # of a rule that comes with an agent: its name follows


@dataclass(frozen=True, slots=True)
class NetRule:
    """One row of an allow or deny list.

    ``host``: canonical: ``api.example.org``, ``*.example.org`` (at least one more label), an IP address, or ``*`` (any host).
    ``ports``: () is every port (only in deny rows and for ``*``). ``methods``: () is every method. ``path``: a pattern in which
    ``*`` stands for any characters and everything else for itself, matched against the whole path without the query; None is
    every path. ``raw``: bytes pass without TLS or HTTP being asked for (``tcp://host:port``). ``private``: may resolve to an
    address that is not public (never loopback, link-local or this machine's own). ``origin``: where it was said, for people.
    """

    host: str
    ports: tuple[int, ...]
    methods: tuple[str, ...]
    path: str | None
    raw: bool
    private: bool
    origin: str


@dataclass(frozen=True, slots=True)
class Gateway:
    """One reverse-proxied service: ``http://127.0.0.1:3129/<name>/...`` goes to ``https://host:port<base_path>/...``.

    ``variables``: variables inside that programs read the address from, as (name, path below ``/<name>``).
    """

    name: str
    host: str
    port: int
    base_path: str
    variables: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class GitRepo:
    """A repository that git may reach with a credential: ``path`` without leading slash and ``.git``; ``push``: to ``aienv/*`` only."""

    host: str
    path: str
    push: bool


@dataclass(frozen=True, slots=True)
class SecretPlan:
    """A credential by name, never its value.

    ``source``: ``env://VAR``, ``file://PATH``, ``cmd://COMMAND LINE`` or ``keyring://SERVICE/USER``. ``hosts``: where the real value
    may go, as ``host`` or ``host:port``, canonical. ``phases``: which commands see its stand-in.
    """

    name: str
    source: str
    hosts: tuple[str, ...]
    phases: tuple[Phase, ...]


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """Everything that decides about the network, resolved.

    ``inspect``: hosts whose TLS is terminated with the run's own authority: those that credentials are bound to and those with
    rules on methods or paths. ``private``: networks (CIDR) that allowed names may resolve to although they are not public.
    ``ssh``: host for which the ssh agent socket signs; None: there is no such socket. ``warnings``: entries that were left out, and why.
    """

    mode: NetworkMode
    presets: tuple[str, ...]
    allow: tuple[NetRule, ...]
    deny: tuple[NetRule, ...]
    private: tuple[str, ...]
    inspect: tuple[str, ...]
    gateways: tuple[Gateway, ...]
    git: tuple[GitRepo, ...]
    ssh: str | None
    warnings: tuple[str, ...]


CLOSED = NetworkPlan("none", (), (), (), (), (), (), (), None, ())


@dataclass(frozen=True, slots=True)
class HostUse:
    """What was let through to one host and port. ``bytes_out`` counts towards the host."""

    host: str
    port: int
    requests: int
    bytes_out: int
    bytes_in: int


@dataclass(frozen=True, slots=True)
class Denial:
    """What was refused, for one host, port and reason. ``flag`` and ``yaml`` would allow it (None: nothing can)."""

    host: str
    port: int
    rule: str
    reason: str
    count: int
    flag: str | None
    yaml: str | None


@dataclass(frozen=True, slots=True)
class NetworkUse:
    """``credentials``: (name, host, times used)."""

    allowed: tuple[HostUse, ...]
    denied: tuple[Denial, ...]
    credentials: tuple[tuple[str, str, int], ...]


NO_USE = NetworkUse((), (), ())
