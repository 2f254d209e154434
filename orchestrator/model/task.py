"""What was asked: a task, after all layers of configuration have been merged."""

from dataclasses import dataclass
from typing import Literal

from orchestrator.model.agent import AgentRules
from orchestrator.model.guard import GuardLimits

BackendChoice = Literal["auto", "docker", "local"]
DockerMode = Literal["auto", "none", "readonly", "guarded", "full"]
NetworkMode = Literal["none", "allowlist", "learn", "open"]
EnvironmentKind = Literal["auto", "image", "template", "devcontainer"]
IsolationFloor = Literal["any", "sandbox", "container"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use. ``disk_bytes`` covers the workspace; ``timeout_s`` the agent's wall time.

    ``grace_s`` lies between TERM and KILL: agents flush their transcript on TERM. ``output_bytes``: what is kept of a command's
    output, its beginning and its end.
    """

    cpus: float
    memory_bytes: int
    pids: int
    disk_bytes: int
    open_files: int
    timeout_s: float
    grace_s: float
    output_bytes: int = 256 << 20


@dataclass(frozen=True, slots=True)
class EnvironmentChoice:
    """Where the task wants to run: ``image`` by reference, ``template`` by name, ``devcontainer`` by path or ``auto``."""

    kind: EnvironmentKind
    value: str


@dataclass(frozen=True, slots=True)
class NetworkRules:
    """As they were asked for, in their text form (docs/network.md). ``private``: networks, as CIDR, that are no public ones."""

    mode: NetworkMode
    presets: tuple[str, ...]
    allow: tuple[str, ...]
    deny: tuple[str, ...] = ()
    private: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GitRules:
    """Private repositories, as ``host/path``, that git may read or push to with a credential. ``ssh``: host of the ssh agent socket."""

    read: tuple[str, ...] = ()
    push: tuple[str, ...] = ()
    ssh: str | None = None


@dataclass(frozen=True, slots=True)
class SecretRules:
    """Credentials as ``NAME`` or ``NAME=SOURCE``: for agent and checks, and for setup. ``hosts``: ``NAME=HOST`` where they may go."""

    agent: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SandboxRules:
    """``mask``: glob patterns of workspace files that are hidden; ``unmask``: exceptions; ``expose``: host folders, read-only."""

    mask: tuple[str, ...]
    unmask: tuple[str, ...]
    expose: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GuardRules:
    """``images``: references that the user grants; ``mcp``: the operator's own MCP configurations, whose Docker servers count;
    ``compose``: files below the repository, () is the usual names; ``learn``: let through what a user could grant, and note it."""

    images: tuple[str, ...] = ()
    mcp: tuple[str, ...] = ()
    compose: tuple[str, ...] = ()
    learn: bool = False
    limits: GuardLimits = GuardLimits()  # noqa: RUF009 - frozen


@dataclass(frozen=True, slots=True)
class Output:
    """``branch``: wished branch name, or None for ``aienv/<task>-<id>``; ``push``: also to the remote."""

    branch: str | None
    push: bool


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One task with every default filled in. ``env`` is a sorted list of (name, value). ``grants``: what a dev container may have."""

    name: str
    repo: str | None
    ref: str | None
    agent: str
    prompt: str | None
    command: tuple[str, ...]
    backend: BackendChoice
    environment: EnvironmentChoice
    docker: DockerMode
    network: NetworkRules
    secrets: SecretRules
    git: GitRules
    env: tuple[tuple[str, str], ...]
    limits: Limits
    sandbox: SandboxRules
    setup: tuple[str, ...]
    checks: tuple[str, ...]
    artifacts: tuple[str, ...]
    output: Output
    with_changes: bool
    submodules: bool
    lfs: bool
    keep: bool
    tty: bool
    require_isolation: IsolationFloor
    guard: GuardRules = GuardRules()
    grants: tuple[str, ...] = ()
    work: AgentRules = AgentRules()  # noqa: RUF009 - frozen
