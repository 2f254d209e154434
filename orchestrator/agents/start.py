"""From a profile and what a task says about its agent to the start of that agent: words, variables, files. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from orchestrator.agents import budget
from orchestrator.agents.budget import Budget
from orchestrator.agents.documents import merge, render
from orchestrator.agents.mcp.write import mcp_additions
from orchestrator.agents.permissions import HookPlace, permissions
from orchestrator.agents.words import fill_env, fill_file, fill_words
from orchestrator.errors import ConfigError, UsageError
from orchestrator.model.agent import (
    DOCKER_RUN,
    HOOK_PROGRAM,
    STAND_IN_END,
    Additions,
    AgentFile,
    AgentRules,
    Credential,
    Dialect,
    Document,
    McpServer,
    Native,
    Profile,
)
from orchestrator.model.plan import AgentPlan, AgentText

HAS_HOOKS: frozenset[Dialect] = frozenset({"claude", "codex", "opencode", "gemini", "qwen"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where it starts. ``entry``: the words before the profile's; ``python``: an interpreter for hooks; ``base_url``: where the
    credential's service is reached from inside; ``service_url``: its own address. None: there is no credential."""

    entry: tuple[str, ...]
    mounts: tuple[tuple[str, str], ...]
    version: str
    digest: str
    python: str
    home: str
    workspace: str
    base_url: str | None = None
    service_url: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What the task says. ``hosts``: rules that come with the agent, as they were added to the network."""

    prompt: str | None
    tty: bool
    rules: AgentRules
    credential: Credential | None
    servers: tuple[McpServer, ...]
    native: Native | None
    hosts: tuple[str, ...]


def start(profile: Profile, asked: Asked, place: Place) -> tuple[AgentPlan, tuple[str, ...]]:
    """The agent's part of a plan, and notes for people.

    Raises:
        UsageError: the profile cannot do what is asked.
        ConfigError: the agent cannot be denied, or held to, what the configuration says.
    """
    rules = asked.rules
    if asked.prompt is None and not asked.tty:
        raise UsageError(f"agent {profile.name!r} has nothing to do", remedy="give a prompt in quotes, or a terminal: --interactive")
    if rules.mode not in profile.modes:
        able = ", ".join(profile.modes)
        raise UsageError(
            f"agent {profile.name!r} has no permission mode {rules.mode!r}", remedy=f"choose one of its own: --permission-mode {able}"
        )
    budget.check(Budget(rules.max_cost_usd, rules.max_turns, rules.idle_s), profile.dialect, profile.name)
    model = rules.model or (asked.credential.model if asked.credential is not None else None)
    fields = _fields(asked, place, model)
    parts = _parts(profile, asked, place, fields)
    words = _command_line(profile, asked.tty, asked.native)
    named = fill_words(profile.model, fields) if model else ()
    args = (*(word for part in parts for word in part.words), *named, *_own_limits(profile, rules), *rules.args)
    files = merge(file for part in parts for file in part.files)
    plan = AgentPlan(
        profile=profile.name,
        argv=(*place.entry, *fill_words(words, fields, args)),
        prompt=asked.prompt,
        tty=asked.tty,
        args=args,
        version=place.version,
        digest=place.digest,
        mode=rules.mode,
        model=model,
        credential=asked.credential.name if asked.credential is not None else None,
        hosts=asked.hosts,
        mounts=place.mounts,
        env=tuple(sorted(dict(pair for part in parts for pair in part.env).items())),
        files=tuple(AgentText(_path(file.path, place.home), render(file).decode(), file.locked) for file in files),
        dialect=profile.dialect if not asked.tty else "text",
        settings=profile.settings,
        deny=rules.deny if rules.hooks and profile.settings in HAS_HOOKS else None,
        servers=tuple(server.name for server in asked.servers),
        sessions=profile.sessions,
        native=asked.native,
        leavings=profile.leavings,
        project_files=tuple((row.glob, row.neutral) for row in profile.project_files),
        grants=rules.grants,
        max_cost_usd=rules.max_cost_usd,
        max_turns=rules.max_turns,
        idle_s=rules.idle_s,
    )
    return plan, tuple(dict.fromkeys(note for part in parts for note in part.notes))


def resumed(profile: Profile, earlier: AgentPlan, prompt: str | None, tty: bool, native: Native, place: Place) -> AgentPlan:
    """The same agent, told and held to the same, that goes on with its own session.

    Raises:
        UsageError: it cannot go on with one.
    """
    fields = {"session": native.session, "home": place.home} | ({"prompt": prompt} if prompt is not None else {})
    return replace(
        earlier,
        argv=(*place.entry, *fill_words(_command_line(profile, tty, native), fields, earlier.args)),
        prompt=prompt,
        tty=tty,
        native=native,
        version=place.version,
        digest=place.digest,
        mounts=place.mounts,
        dialect=profile.dialect if not tty else "text",
    )


def choose_credential(profile: Profile, named: Iterable[str], environ: Mapping[str, str], by_user: bool) -> Credential | None:
    """What the agent pays with: the first of its credentials that the task names, else the first that the user has. ``by_user``: the user
    chose this agent, and with it that it may have its credential; a repository cannot.

    Raises:
        ConfigError: it has none.
    """
    names = set(named)
    found = [one for one in profile.credentials if one.name in names]
    found += [one for one in profile.credentials if by_user and environ.get(one.name)]
    if found:
        return found[0]
    if not profile.credentials:
        return None
    able = " or ".join(one.name for one in profile.credentials)
    first = profile.credentials[0].name
    here = [one.name for one in profile.credentials if environ.get(one.name)]
    if here:  # a repository chose the agent
        remedy = f"choose it yourself: --agent {profile.name}, or hand the credential in: --secret {here[0]}"
        raise ConfigError(f"the repository chose agent {profile.name!r}, and its credential is yours to give", remedy=remedy)
    remedy = f"export {first}=..., or say where it is: --secret {first}=file://PATH (cmd://, keyring://)"
    raise ConfigError(f"agent {profile.name!r} needs a credential, and there is none: {able}", remedy=remedy)


def _parts(profile: Profile, asked: Asked, place: Place, fields: Mapping[str, str]) -> tuple[Additions, ...]:
    """In the order in which later ones win. Only a profile's own texts have fields: braces in those of users are theirs."""
    hooks = None
    if asked.rules.hooks and profile.settings in HAS_HOOKS:
        hooks = HookPlace((place.python, "-I", "-S", HOOK_PROGRAM), profile.settings)
    own = (
        profile.base,
        *((asked.credential.additions,) if asked.credential is not None else ()),
        *((_ON_NODE,) if profile.program.runtime == "node" else ()),
        profile.modes[asked.rules.mode],
        *_trusted(profile, asked),
    )
    servers = tuple(_inside(server, place.python) for server in asked.servers)
    return (
        *(_filled(part, fields) for part in own),
        permissions(profile.settings, asked.rules.deny, hooks, project_hooks=bool(asked.rules.grants)),
        mcp_additions(profile.settings, servers, project=_is_granted(asked.rules, ".mcp.json")),
    )


# That it heeds HTTP_PROXY by itself is still an experiment to Node 22, which says so at each start.
_ON_NODE = Additions(env=(("NODE_NO_WARNINGS", "1"),))


def _inside(server: McpServer, python: str) -> McpServer:
    """A server in a container is started by a client of ours: hardly any image has Docker's own."""
    if server.kind != "docker":
        return server
    return replace(server, command=(python, "-I", "-S", DOCKER_RUN, *server.command[server.command.index("run") :]))


def _filled(part: Additions, fields: Mapping[str, str]) -> Additions:
    files = tuple(fill_file(file, fields) for file in part.files)
    return Additions(fill_words(part.words, fields), fill_env(part.env, fields), files, part.notes)


def _trusted(profile: Profile, asked: Asked) -> tuple[Additions, ...]:
    """At a terminal an agent would first ask about the folder, and the key; what the user granted of a repository acts only in a folder
    that it trusts. What was not granted is covered, so there is nothing else that the trust could let act."""
    if profile.settings == "codex" and (asked.tty or _is_granted(asked.rules, ".codex/")):
        return (Additions(files=(AgentFile("/etc/codex/config.toml", "toml", {"projects": {"{workspace}": {"trust_level": "trusted"}}}),)),)
    if profile.settings == "claude" and (asked.tty or _is_granted(asked.rules, ".claude/")):
        document: Document = {"projects": {"{workspace}": {"hasTrustDialogAccepted": True}}}
        if asked.tty:
            document |= {"hasCompletedOnboarding": True, "theme": "dark", "bypassPermissionsModeAccepted": True}
            document["customApiKeyResponses"] = {"approved": [STAND_IN_END]}
        return (Additions(files=(AgentFile("~/.claude/.claude.json", "json", document, locked=False),)),)
    return ()


def _is_granted(rules: AgentRules, beginning: str) -> bool:
    return any(grant.startswith(beginning) for grant in rules.grants)


def _fields(asked: Asked, place: Place, model: str | None) -> Mapping[str, str]:
    known = {
        "prompt": asked.prompt,
        "model": model,
        "session": asked.native.session if asked.native is not None else None,
        "base_url": place.base_url,
        "service_url": place.service_url,
        "key": asked.credential.name if asked.credential is not None else None,
        "home": place.home,
        "workspace": place.workspace,
    }
    return {name: value for name, value in known.items() if value is not None}


def _command_line(profile: Profile, tty: bool, native: Native | None) -> tuple[str, ...]:
    if native is not None:
        words = profile.resume_interactive if tty else profile.resume
        if not words:
            raise UsageError(f"agent {profile.name!r} cannot go on with an earlier session", remedy="run it again with a prompt of its own")
        return words
    if tty and not profile.interactive and profile.headless:
        raise UsageError(f"agent {profile.name!r} has no interactive form", remedy="leave --interactive out and give a prompt")
    return profile.interactive if tty else profile.headless


def _own_limits(profile: Profile, rules: AgentRules) -> tuple[str, ...]:
    """Where an agent can hold itself to a limit, it hears of it and can finish; ours holds in any case."""
    if profile.settings == "claude" and rules.max_cost_usd is not None:
        return ("--max-budget-usd", f"{rules.max_cost_usd:g}")
    return ()


def _path(path: str, home: str) -> str:
    return f"{home}/{path[2:]}" if path.startswith("~/") else path
