"""The agent's part of a plan: which one, its program, what it pays with, which of the user's MCP servers go in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.agents.command import plan_command
from orchestrator.config.layers import REPOSITORY_LAYERS, Settings
from orchestrator.egress.hosts import canonical_host
from orchestrator.egress.rules import Ask, decide, parse_rule
from orchestrator.errors import ConfigError, UsageError
from orchestrator.launcher.command import TOOLBOX
from orchestrator.model.agent import Credential, McpServer, Native, Profile
from orchestrator.model.devcontainer import UserPlan
from orchestrator.model.guard import GuardPlan
from orchestrator.model.network import GATEWAY_PORT, Gateway, NetworkPlan
from orchestrator.model.paths import Paths
from orchestrator.model.plan import AgentPlan, BackendName
from orchestrator.model.task import TaskSpec
from orchestrator.report.progress import Progress
from orchestrator.run.netplan import refuse
from orchestrator.secrets.bindings import KNOWN, parse_binding

if TYPE_CHECKING:
    from orchestrator.agents.install import Installed

MAX_CONFIG_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ChosenAgent:
    """Settled before the network is. ``task``: with what this agent brings along. ``hosts``: rules that it brings along, where the user
    chose it. ``profile``: None for plain commands."""

    task: TaskSpec
    profile: Profile | None
    credential: Credential | None = None
    servers: tuple[McpServer, ...] = ()
    hosts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def choose_agent(task: TaskSpec, settings: Settings, environ: Mapping[str, str], project: str | None) -> ChosenAgent:
    """Which agent, with which credential and MCP servers.

    Raises:
        UsageError: there is no such agent. ConfigError: it has no credential, or an MCP configuration cannot be read.
        PolicyRefused: one of the user's MCP servers would carry a credential in.
    """
    if task.agent == "command":
        return ChosenAgent(task, None)
    from orchestrator.agents import own
    from orchestrator.agents.catalog import PROFILES
    from orchestrator.agents.start import choose_credential

    chosen = settings["agent"]
    by_user = chosen.layer not in REPOSITORY_LAYERS
    try:
        profile = own.find(task.agent, environ, PROFILES)
    except UsageError as problem:
        raise ConfigError(f"{chosen.where}: {problem.message}", remedy=problem.remedy) from problem
    named = [text.partition("=")[0] for text in task.secrets.agent]
    credential = choose_credential(profile, named, environ, by_user)
    if credential is not None and credential.name not in named:
        task = replace(task, secrets=replace(task.secrets, agent=(*task.secrets.agent, credential.name)))
        named.append(credential.name)
    servers, warnings = _servers(task, environ, project, frozenset(named))
    if servers:
        task = replace(task, guard=replace(task.guard, mcp=tuple(dict.fromkeys((*task.guard.mcp, *task.work.mcp)))))
    hosts = _hosts(profile, credential, task) if by_user else ()
    return ChosenAgent(task, profile, credential, servers, hosts, warnings)


def _hosts(profile: Profile, credential: Credential | None, task: TaskSpec) -> tuple[str, ...]:
    found = [*profile.hosts]
    if credential is not None:
        bound = [parse_binding(text) for text in task.secrets.hosts]
        mine = [binding.text for binding in bound if binding.name == credential.name]
        found += mine or (KNOWN[credential.name].hosts if credential.name in KNOWN else ())
    return tuple(dict.fromkeys(found))


def _servers(
    task: TaskSpec, environ: Mapping[str, str], project: str | None, secrets: frozenset[str]
) -> tuple[tuple[McpServer, ...], tuple[str, ...]]:
    if not task.work.mcp:
        return (), ()
    from orchestrator.agents.mcp.carry import carry
    from orchestrator.agents.mcp.read import read

    home = Path(environ.get("HOME") or "/nonexistent")
    found = read([(path, _content(path, home)) for path in task.work.mcp], project)
    carried = carry(found.servers, secrets)
    refuse(carried.problems)
    return carried.servers, found.warnings


def _content(path: str, home: Path) -> bytes:
    place = home / path[2:] if path.startswith("~/") else Path(path)
    try:
        with place.open("rb") as file:
            return file.read(MAX_CONFIG_BYTES + 1)
    except OSError as problem:
        raise ConfigError(f"the MCP configuration {path} cannot be read: {problem.strerror}", remedy="correct --mcp-config") from problem


@dataclass(frozen=True, slots=True)
class Around:
    """What of a plan the agent's part depends on. ``install``: gives a profile's program."""

    backend: BackendName
    network: NetworkPlan
    guard: GuardPlan | None
    user: UserPlan
    workspace: str
    python: str
    install: Callable[[Profile], "Installed"]


def plan_agent(chosen: ChosenAgent, around: Around, native: Native | None) -> tuple[AgentPlan, tuple[str, ...]]:
    """The agent's part of the plan, and notes for people.

    Raises:
        UsageError, ConfigError: it cannot do what is asked. PolicyRefused: an MCP server could not be reached. EnvironmentFailed: its
        program cannot be had.
    """
    task, profile = chosen.task, chosen.profile
    if profile is None:
        if native is not None:
            raise UsageError("a plain command has no session to go on with", remedy="run it again")
        return plan_command(task), ()
    from orchestrator.agents import start

    _refuse_unreachable(chosen, around)
    base_url, service_url = _addresses(chosen.credential, around.network)
    program, home, workspace = around.install(profile), around.user.home, around.workspace
    place = start.Place(
        program.entry, program.mounts, program.version, program.digest, around.python, home, workspace, base_url, service_url
    )
    asked = start.Asked(task.prompt, task.tty, task.work, chosen.credential, chosen.servers, native, chosen.hosts)
    plan, notes = start.start(profile, asked, place)
    return plan, (*chosen.warnings, *notes)


def installer(paths: Paths, environ: Mapping[str, str], progress: Progress, backend: BackendName) -> Callable[[Profile], "Installed"]:
    """Fetches a program when it is missing."""

    def install(profile: Profile) -> "Installed":
        from orchestrator.agents.install import ensure

        return ensure(profile, paths.cache, environ, progress.say, "container" if backend == "docker" else "host")

    return install


def hook_python(backend: BackendName) -> str:
    """An interpreter for hooks, inside."""
    if backend == "docker":
        return f"{TOOLBOX}/bin/python3"
    from orchestrator.backends.local import harvest_python

    return harvest_python()[0]


def _addresses(credential: Credential | None, network: NetworkPlan) -> tuple[str | None, str | None]:
    """Where the agent reaches its model, and that service's own address."""
    if credential is None or credential.base is None:
        return None, None
    for gateway in network.gateways:
        for variable, path in gateway.variables:
            if variable == credential.base:
                return f"http://127.0.0.1:{GATEWAY_PORT}/{gateway.name}{path}", f"{_own_address(gateway)}{path}"
    return None, None


def _own_address(gateway: Gateway) -> str:
    port = "" if gateway.port == 443 else f":{gateway.port}"
    return f"https://{gateway.host}{port}{gateway.base_path}"


def _refuse_unreachable(chosen: ChosenAgent, around: Around) -> None:
    """An MCP server that could only fail is told before the run starts."""
    if not chosen.servers:
        return
    from orchestrator.agents.mcp.carry import needed_rules

    problems = []
    for name, rule in needed_rules(chosen.servers):
        row = parse_rule(rule, "")
        host = canonical_host(f"[{row.host}]" if ":" in row.host else row.host)
        decision = decide(around.network, Ask("connect", host, row.ports[0] if row.ports else 443))
        if not decision.allowed:
            problems.append((f"MCP server {name!r} cannot be reached: {decision.reason}", decision.flag or f"--allow-host {rule}"))
    mode = around.guard.mode if around.guard is not None else "none"
    if mode not in ("guarded", "full"):
        needy = [server.name for server in chosen.servers if server.kind == "docker"]
        problems += [(f"MCP server {name!r} is a container, and docker is {mode}", "--docker guarded") for name in needy]
    refuse(problems)


def session_of(report: Mapping[str, object]) -> str | None:
    """The agent's own name of its session, as a report has it."""
    agent = report.get("agent")
    session = agent.get("session") if isinstance(agent, dict) else None
    return session if isinstance(session, str) and session else None
