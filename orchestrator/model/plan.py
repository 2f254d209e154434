"""What will be done: everything resolved, nothing left to look up. Two plans of the same inputs are equal.

A plan holds no run id, no time and no path that depends on the run; these are the run's, see ``model.record``.
"""

from dataclasses import dataclass
from typing import Literal

from orchestrator.model.agent import DenyRules, Dialect, Native, PermissionMode
from orchestrator.model.devcontainer import DevcontainerPlan
from orchestrator.model.guard import GuardPlan
from orchestrator.model.network import NetworkPlan, SecretPlan
from orchestrator.model.task import DockerMode, IsolationFloor, Limits, Output, SandboxRules

BackendName = Literal["docker", "local"]
Isolation = Literal["container+sandbox", "sandbox"]


@dataclass(frozen=True, slots=True)
class ChangesPlan:
    """Uncommitted work that is carried in. ``digest`` covers paths, modes and contents; ``files`` counts them."""

    digest: str
    files: int


@dataclass(frozen=True, slots=True)
class RepoPlan:
    """The repository at one commit.

    ``location`` is an absolute path or a URL without user or password. ``commit`` is None for a repository without
    commits. ``branch`` is the branch that HEAD of the clone names (None: detached). ``mirror`` is the key of the mirror
    cache. ``name`` is the last part of the path inside: ``/workspaces/<name>``.
    """

    kind: Literal["path", "url"]
    location: str
    ref: str | None
    commit: str | None
    branch: str | None
    mirror: str
    name: str
    changes: ChangesPlan | None
    submodules: bool
    lfs: bool


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """An image pinned by id. ``env`` is the image's own environment as (name, value)."""

    reference: str
    id: str
    env: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class AgentText:
    """A file that is there before the agent starts. ``path``: absolute, inside. ``locked``: mounted read-only; else it lies in the home."""

    path: str
    text: str
    locked: bool


@dataclass(frozen=True, slots=True)
class AgentPlan:
    """The command that runs, in the environment, as the agent.

    ``args``: those of its words that do not depend on prompt and session. ``version``, ``digest``: of its program, which ``mounts`` hold
    (host folder, path inside). ``credential``: the name of the one that it pays with.
    ``hosts``: network rules that come with it. ``sessions``: folders below the home that hold its own session files;
    ``native``: the one that it goes on with. ``leavings``: what it leaves in a work tree, as patterns of git. ``project_files``:
    (glob, what it sees in such a file's place); ``grants``: ``PATH@sha256:HEX`` of those that it may have. ``deny``: what its hooks are
    judged by, None: it has no hooks.
    """

    profile: str
    argv: tuple[str, ...]
    prompt: str | None
    tty: bool
    args: tuple[str, ...] = ()
    version: str = ""
    digest: str = ""
    mode: PermissionMode = "bypass"
    model: str | None = None
    credential: str | None = None
    hosts: tuple[str, ...] = ()
    mounts: tuple[tuple[str, str], ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    files: tuple[AgentText, ...] = ()
    dialect: Dialect = "text"
    settings: Dialect = "text"
    deny: DenyRules | None = None
    servers: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    native: Native | None = None
    leavings: tuple[str, ...] = ()
    project_files: tuple[tuple[str, str], ...] = ()
    grants: tuple[str, ...] = ()
    max_cost_usd: float | None = None
    max_turns: int | None = None
    idle_s: float | None = None

    @property
    def keeps_home(self) -> bool:
        """Its session files must still be there when it has ended."""
        return bool(self.sessions) or any(not file.locked for file in self.files)


@dataclass(frozen=True, slots=True)
class Plan:
    """``verify``: commands for the result alone, each in a clean environment. ``verifies``: this plan is such a command, for the result of
    that run; what it writes is nobody's work, so it is not brought out."""

    schema: Literal["aienv.plan/1"]
    task: str
    repo: RepoPlan
    agent: AgentPlan
    backend: BackendName
    isolation: Isolation
    image: ImagePlan | None
    uid: int
    gid: int
    workspace: str
    docker: DockerMode
    network: NetworkPlan
    secrets: tuple[SecretPlan, ...]
    env: tuple[tuple[str, str], ...]
    limits: Limits
    unlimited: tuple[str, ...]
    sandbox: SandboxRules
    seccomp: str
    setup: tuple[str, ...]
    checks: tuple[str, ...]
    artifacts: tuple[str, ...]
    output: Output
    keep: bool
    require_isolation: IsolationFloor
    guard: GuardPlan | None = None
    devcontainer: DevcontainerPlan | None = None
    verify: tuple[str, ...] = ()
    verifies: str | None = None

    @property
    def keeps_home(self) -> bool:
        """All commands share one home, on the disk; else each has a fresh one."""
        return self.devcontainer is not None or self.agent.keeps_home
