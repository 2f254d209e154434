"""An agent as data: how its program is had, how it is started, and what it is told beside the prompt.

A profile is what ``aienv agents show`` prints, from a module of ours or a user's manifest. Words of command lines, values of variables and
texts in settings may hold fields in braces, which ``agents.words`` fills: ``{prompt}``, ``{model}``, ``{session}``, ``{base_url}`` (where
the model's service is reached from inside), ``{service_url}`` (its own address, for clients that cannot be told otherwise), ``{key}`` (the
name of the variable with its credential), ``{home}``. The word ``{args}`` stands for what modes, models and users add.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

PermissionMode = Literal["bypass", "auto", "ask", "plan"]
PERMISSION_MODES: tuple[PermissionMode, ...] = ("bypass", "auto", "ask", "plan")
# How a profile's event stream, settings and MCP configuration are written; qwen's settings are gemini's, its events are claude's.
Dialect = Literal["text", "claude", "codex", "opencode", "gemini", "qwen", "pi"]
Runtime = Literal["none", "node", "python"]
ProgramKind = Literal["npm", "pypi", "image"]
FileFormat = Literal["json", "toml", "text"]

AGENTS_INSIDE = "/opt/aienv-agents"  # read-only folders of installed programs: <name>/
FILES_INSIDE = "/run/aienv/agent"  # read-only files of ours, where an agent lets us choose the place
HOOK_PROGRAM = "/run/aienv/hook.py"
DOCKER_RUN = "/run/aienv/docker-run.py"  # in place of a Docker client, for MCP servers
STAND_IN_END = "@aienv-stand-in-end@"  # in a file of the home: the end of the credential's stand-in, which is made anew for each run
HOOK_SOCKET = "/run/aienv-hook.sock"

Value = str | int | float | bool | None | list["Value"] | dict[str, "Value"]
Document = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Program:
    """Where the program comes from.

    ``kind``: ``npm`` and ``pypi``: a pinned package, installed once into a read-only folder; ``image``: the environment must have it.
    ``entry``: the program below that folder; for ``image`` its name on PATH. ``runtime``: what the entry is run by. ``extra``: further
    packages that the package needs and does not name.
    """

    kind: ProgramKind
    package: str
    version: str
    entry: str
    runtime: Runtime = "none"
    extra: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AgentFile:
    """A file that is there before the agent starts.

    ``path``: absolute, or below the home (``~/...``). ``content``: a document for json and toml, else a text; documents for one path are
    merged. ``locked``: the agent cannot change it: a read-only mount; otherwise a plain file in the home.
    """

    path: str
    format: FileFormat
    content: Document | str
    locked: bool = True


@dataclass(frozen=True, slots=True)
class Additions:
    """What one concern (profile, permissions, MCP servers) adds to a start. ``notes``: what could not be said to this agent, for people."""

    words: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    files: tuple[AgentFile, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Credential:
    """One way to pay: the variable that holds the key, and what is added when this one is used. ``base``: the variable that our gateway
    to its service is told by (``secrets.bindings``), None where the agent finds the service by itself."""

    name: str
    base: str | None = None
    model: str | None = None
    additions: Additions = Additions()


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """A file of the repository by which it could act on its own: hooks, plugins, servers. ``glob``: below the workspace; ``neutral``: what
    the agent sees in its place unless the user granted that very content."""

    glob: str
    neutral: str


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of agent.

    ``headless``, ``interactive``, ``resume``: words behind the program; ``model``: words where a model is named; ``modes``: words per
    permission mode, a mode that is not there is refused. ``credentials``: the first that the user has is used. ``hosts``: network rules
    that it cannot work without, beside the credential's. ``sessions``: folders below the home with its own session files. ``leavings``:
    what it leaves in a work tree and nobody wants, as patterns of gitignore. ``dialect``: how its events are read; ``settings``: how its
    settings are written.
    """

    name: str
    title: str
    program: Program
    headless: tuple[str, ...]
    interactive: tuple[str, ...] = ()
    resume: tuple[str, ...] = ()
    resume_interactive: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    modes: Mapping[PermissionMode, Additions] = field(default_factory=lambda: {"bypass": Additions()})
    credentials: tuple[Credential, ...] = ()
    base: Additions = Additions()
    hosts: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    leavings: tuple[str, ...] = ()
    project_files: tuple[ProjectFile, ...] = ()
    dialect: Dialect = "text"
    settings: Dialect = "text"


@dataclass(frozen=True, slots=True)
class DenyRules:
    """What the agent is told not to do. ``read``: globs of files (as ``sandbox.mask``); ``run``: beginnings of commands, word by word
    (``git push``); ``fetch``: no tool that reads the web."""

    read: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    fetch: bool = False


@dataclass(frozen=True, slots=True)
class AgentRules:
    """What a task says about its agent. ``args``: words of the agent's own; ``mcp``: the operator's MCP configurations; ``grants``:
    ``PATH@sha256:HEX`` of files of the repository that may act; ``max_cost_usd``, ``max_turns``, ``idle_s``: None is no limit."""

    model: str | None = None
    args: tuple[str, ...] = ()
    mode: PermissionMode = "bypass"
    deny: DenyRules = DenyRules()
    hooks: bool = True
    mcp: tuple[str, ...] = ()
    grants: tuple[str, ...] = ()
    max_cost_usd: float | None = None
    max_turns: int | None = None
    idle_s: float | None = None
    verify: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class McpServer:
    """One server of the operator's, in no agent's format. ``kind``: ``docker``: its command is ``docker run``, through the guard;
    ``stdio``: a command inside; ``http``: an address, which needs a network rule. ``env`` and ``headers`` as (name, value); texts may refer
    to variables of the environment as ``${NAME}``. ``sse``: the address speaks the older protocol."""

    name: str
    kind: Literal["docker", "stdio", "http"]
    command: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    url: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    image: str | None = None
    sse: bool = False


@dataclass(frozen=True, slots=True)
class Native:
    """A session of the agent's own, by the name that it gave it, in an earlier run."""

    run: str
    session: str
