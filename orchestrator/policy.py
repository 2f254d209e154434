"""Whether a plan may be carried out: each member of ``Plan`` has a row that compares it with the settings.

The settings say what was granted, the plan says what will be done; between the two lies code that could be wrong. A member of
the plan that has no row here is refused, so a new one cannot walk past.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import NoReturn, cast
from urllib.parse import urlsplit

from orchestrator.config.layers import REPOSITORY_LAYERS, Settings, Violation, remedy_for, value_text
from orchestrator.config.names import TASK_NAME, branch_problem
from orchestrator.config.schema import KEYS
from orchestrator.config.values import VARIABLE_NAME
from orchestrator.egress.rules import rule_text
from orchestrator.egress.standins import split_bound
from orchestrator.errors import PolicyRefused
from orchestrator.model.agent import AGENTS_INSIDE, FILES_INSIDE
from orchestrator.model.devcontainer import INSIDE_HOME, INSIDE_NAME
from orchestrator.model.network import AGENT_ORIGIN, PHASES, NetRule, Phase
from orchestrator.model.plan import AgentText, Plan
from orchestrator.model.task import Limits
from orchestrator.sandbox.argv import HOME
from orchestrator.secrets.bindings import KNOWN, parse_binding

Rule = Callable[[Plan, Settings], Iterable[Violation]]

ISOLATION_OF_BACKEND = {"docker": ("container+sandbox",), "local": ("sandbox",), "memory": ("sandbox", "container+sandbox")}
ENOUGH_ISOLATION = {
    "any": ("sandbox", "container+sandbox"),
    "sandbox": ("sandbox", "container+sandbox"),
    "container": ("container+sandbox",),
}
DOCKER_WITHIN = {
    "none": ("none",),
    "readonly": ("none", "readonly"),
    "auto": ("none", "readonly", "guarded"),
    "guarded": ("none", "readonly", "guarded"),
    "full": ("none", "readonly", "guarded", "full"),
}
NETWORK_ORDER = ("none", "allowlist", "learn", "open")
SECRET_KEYS: Mapping[Phase, str] = {"setup": "setup_secrets", "agent": "secrets", "check": "secrets"}
LIMIT_KEYS = {
    "cpus": "limits.cpus", "memory_bytes": "limits.memory", "pids": "limits.pids", "disk_bytes": "limits.disk",
    "open_files": "limits.open_files", "timeout_s": "limits.timeout", "grace_s": "limits.grace",
    "output_bytes": "limits.output",
}  # fmt: skip
AGENT_LIMIT_KEYS = {"max_cost_usd": "limits.cost", "max_turns": "limits.turns", "idle_s": "limits.idle"}
HAS_HOOKS = ("claude", "codex", "opencode", "gemini", "qwen")
GUARD_LIMIT_KEYS = {
    "containers": "guard.containers", "memory_bytes": "guard.memory", "cpus": "guard.cpus", "pids": "guard.pids",
    "volumes": "guard.volumes", "networks": "guard.networks", "execs": "guard.execs", "ports": "guard.ports",
    "container_memory_bytes": "guard.memory", "container_pids": "guard.pids",
}  # fmt: skip
# First words of AllowedImage.origin: the user's grants, files of the base commit, and the operator's own MCP files.
IMAGE_ORIGINS = ("guard.images", "compose", "dockerfile", "devcontainer", "mcp")
HIGHEST_ID = 0xFFFF_FFFE  # the one above means "unchanged" to the kernel


def violations(plan: Plan, settings: Settings) -> tuple[Violation, ...]:
    """Everything that forbids ``plan``: asks that were refused when the layers were merged, then the rows below."""
    found = list(settings.violations)
    for field in fields(Plan):
        found += RULES.get(field.name, _without_rule(field.name))(plan, settings)
    return tuple(found)


def refuse(found: Iterable[Violation]) -> None:
    """Stop here when there are violations.

    Raises:
        PolicyRefused: names each of them and the line that would allow it.
    """
    reasons = tuple(dict.fromkeys(found))
    if reasons:
        _raise(reasons)


def _raise(reasons: tuple[Violation, ...]) -> NoReturn:
    remedies = "; ".join(dict.fromkeys(reason.remedy for reason in reasons))
    if len(reasons) == 1:
        raise PolicyRefused(str(reasons[0]), remedy=remedies)
    lines = "".join(f"\n  {reason} (allowed by: {reason.remedy})" for reason in reasons)
    raise PolicyRefused(f"{len(reasons)} things are not granted:{lines}", remedy=remedies)


def _without_rule(member: str) -> Rule:
    return lambda plan, settings: [_broken(member, "something", "nothing: no rule judges it")]


def _broken(member: str, planned: str, allowed: str) -> Violation:
    """The plan does what no setting can ask for: our own mistake, or a plan from elsewhere."""
    return Violation(member, planned, allowed, "the plan", f"report this with the output of aienv plan: {member} must be {allowed}")


def _must(member: str, holds: Callable[[Plan], bool], allowed: str) -> Rule:
    """A rule about the plan alone."""
    return lambda plan, settings: () if holds(plan) else [_broken(member, ascii(getattr(plan, member))[:80], allowed)]


def _only_asked(key: str, planned: Callable[[Plan], tuple[object, ...]]) -> Rule:
    """A list that holds nothing but what the settings hold."""

    def judge(plan: Plan, settings: Settings) -> Iterable[Violation]:
        granted = cast(tuple[object, ...], settings[key].value)
        for item in planned(plan):
            if item not in granted:
                yield _beyond(settings, key, item)

    return judge


def _only_when(key: str, planned: Callable[[Plan], bool]) -> Rule:
    """Something that happens only when the user's side has said so."""

    def judge(plan: Plan, settings: Settings) -> Iterable[Violation]:
        setting = settings[key]
        if planned(plan) and (setting.value is not True or setting.layer in REPOSITORY_LAYERS):
            yield _beyond(settings, key, True)

    return judge


def _beyond(settings: Settings, key: str, value: object) -> Violation:
    row = KEYS[key]
    listed = row.is_list
    asked = value_text(row, (value,) if listed else value)
    return Violation(key, asked, settings[key].text, "the plan", remedy_for(row, (value,) if listed else value, "the user configuration"))


def _all(*rules: Rule) -> Rule:
    return lambda plan, settings: [found for rule in rules for found in rule(plan, settings)]


def _free(plan: Plan, settings: Settings) -> Iterable[Violation]:
    """Nothing about this member can loosen anything."""
    return ()


def _repo(plan: Plan, settings: Settings) -> Iterable[Violation]:
    repo = plan.repo
    if repo.kind == "url" and "@" in repo.location and _has_password(repo.location):
        yield _broken("repo", "a URL with a password", "without user and password")
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", repo.name, re.ASCII) or repo.name in (".", ".."):
        yield _broken("repo", ascii(repo.name)[:80], "a plain name")
    for key, used in (("submodules", repo.submodules), ("lfs", repo.lfs), ("with_changes", repo.changes is not None)):
        if used and settings[key].value is not True:
            yield _beyond(settings, key, True)


def _has_password(location: str) -> bool:
    try:
        return urlsplit(location).password is not None
    except ValueError:  # what cannot be taken apart may hide one
        return True


def _backend(plan: Plan, settings: Settings) -> Iterable[Violation]:
    asked = settings["backend"].value
    if asked not in ("auto", plan.backend):
        yield _beyond(settings, "backend", plan.backend)


def _isolation(plan: Plan, settings: Settings) -> Iterable[Violation]:
    if plan.isolation not in ISOLATION_OF_BACKEND.get(plan.backend, ()):
        yield _broken("isolation", plan.isolation, f"what the {plan.backend} backend gives")
    setting = settings["require_isolation"]
    if plan.isolation not in ENOUGH_ISOLATION.get(str(setting.value), ()):
        remedy = "start Docker and use --backend docker, or ask for less: --require-isolation sandbox"
        yield Violation("require_isolation", plan.isolation, f"{setting.value} ({setting.where})", f"the {plan.backend} backend", remedy)


def _image(plan: Plan, settings: Settings) -> Iterable[Violation]:
    if plan.backend == "docker" and (plan.image is None or not re.fullmatch(r"sha256:[0-9a-f]{64}", plan.image.id)):
        yield _broken("image", "an image that is not pinned", "pinned by its id, sha256:...")


def _docker(plan: Plan, settings: Settings) -> Iterable[Violation]:
    setting = settings["docker"]
    if plan.docker not in DOCKER_WITHIN.get(str(setting.value), ()):
        yield _beyond(settings, "docker", plan.docker)
    elif plan.docker == "full" and not any(entry.layer == "flags" and entry.given.value == "full" for entry in setting.entries):
        # Full Docker is root on the host: a file that was written once must not be enough.
        yield Violation("docker", "full", "guarded", setting.where, "--docker full")


def _guard(plan: Plan, settings: Settings) -> Iterable[Violation]:
    """What stands before the engine is what ``docker`` says, with images that somebody named and no more than was granted of the rest."""
    guard = plan.guard
    if (guard.mode if guard is not None else "none") != plan.docker:
        yield _broken("guard", f"a guard for mode {guard.mode if guard else 'none'}", f"one for docker mode {plan.docker}")
    if guard is None:
        return
    if guard.mode != "guarded" and guard.images:
        yield _broken("guard", f"images in mode {guard.mode}", "without images in this mode")
    granted = {_image_name(text) for text in cast(tuple[str, ...], settings["guard.images"].value)}
    named = (*cast(tuple[str, ...], settings["guard.mcp"].value), *cast(tuple[str, ...], settings["mcp"].value))
    for image in guard.images:
        kind, _, place = image.origin.partition(" ")
        ungranted = (kind == "guard.images" and image.reference not in granted) or (kind == "mcp" and place not in named)
        if kind not in IMAGE_ORIGINS or ungranted:
            yield _beyond(settings, "guard.images", image.reference)
        if image.id is not None and not re.fullmatch(r"sha256:[0-9a-f]{64}", image.id):
            yield _broken("guard", ascii(image.id)[:80], "pinned by its id, sha256:...")
    for member, key in GUARD_LIMIT_KEYS.items():
        if not 0 <= getattr(guard.limits, member) <= cast(float, settings[key].value):
            yield _beyond(settings, key, getattr(guard.limits, member))


def _image_name(text: str) -> str:
    from orchestrator.guard.calls import Denied
    from orchestrator.guard.imagenames import canonical

    try:
        return canonical(text)
    except Denied:
        return text


def _network_mode(plan: Plan, settings: Settings) -> Iterable[Violation]:
    if NETWORK_ORDER.index(plan.network.mode) > NETWORK_ORDER.index(str(settings["network.mode"].value)):
        yield _beyond(settings, "network.mode", plan.network.mode)


def _network_rules(plan: Plan, settings: Settings) -> Iterable[Violation]:
    """Every row was asked for, or comes from a preset that was; no denial was lost on the way."""
    network = plan.network
    allowed = cast(tuple[str, ...], settings["network.allow"].value)
    presets = _preset_names(cast(tuple[str, ...], settings["network.presets"].value))
    implied = {f"git {repo.host}/{repo.path}" for repo in network.git} | {f"git.ssh {network.ssh}"}
    for rule in network.allow:
        if rule.origin in implied and _as_implied(rule):
            continue
        if rule.origin == f"{AGENT_ORIGIN}{plan.agent.profile}" and _chosen_by_user(settings) and _as_brought(plan, rule):
            continue
        named = re.match(r"preset ([a-z]+)(:|$)", rule.origin)
        if (named is None or named[1] not in presets) and (rule.private or rule_text(rule) not in allowed):
            yield _beyond(settings, "network.allow", rule_text(rule))
    kept = {rule_text(rule, deny=True) for rule in network.deny}
    for text in cast(tuple[str, ...], settings["network.deny"].value):
        if text not in kept and network.mode != "none":
            yield _broken("network", f"no denial of {text}", "all of network.deny")


def _chosen_by_user(settings: Settings) -> bool:
    """Whoever chooses an agent means that it can work. A repository cannot mean that."""
    return settings["agent"].layer not in REPOSITORY_LAYERS


def _as_brought(plan: Plan, rule: NetRule) -> bool:
    """A host that comes with the agent: by name, public, for TLS or HTTP."""
    return rule_text(rule) in plan.agent.hosts and not rule.raw and not rule.private and not rule.host.startswith("*")


def _agent(plan: Plan, settings: Settings) -> Iterable[Violation]:
    """It is told, and may have, what the settings say. A plain command has none of it."""
    agent = plan.agent
    if agent.profile == "command":
        if agent.files or agent.mounts or agent.env or agent.servers or agent.hosts or agent.credential:
            yield _broken("agent", "settings of a plain command", "nothing but the command")
        return
    if agent.profile != settings["agent"].value:
        yield _beyond(settings, "agent", agent.profile)
    if agent.mode != settings["permission_mode"].value:
        yield _beyond(settings, "permission_mode", agent.mode)
    lifted = cast(tuple[str, ...], settings["deny.except"].value)
    if agent.deny is not None:
        for key, have in (("deny.read", agent.deny.read), ("deny.run", agent.deny.run)):
            for item in cast(tuple[str, ...], settings[key].value):
                if item not in have and item not in lifted:
                    yield _broken("agent", f"{key} without {ascii(item)[:80]}", f"all of {key}")
        if settings["deny.fetch"].value and not agent.deny.fetch:
            yield _broken("agent", "no denial of fetching", "deny.fetch")
    elif settings["hooks"].value and agent.settings in HAS_HOOKS:
        yield _broken("agent", "no hooks", "with hooks, which the settings ask for")
    for member, key in AGENT_LIMIT_KEYS.items():
        planned, granted = getattr(agent, member), cast(float | None, settings[key].value)
        if granted is not None and (planned is None or not 0 < planned <= granted):
            yield _broken("agent", f"{member} of {planned}", f"held to {key}: {granted}")
    yield from _brought(plan, settings)
    if any(not path.startswith(f"{AGENTS_INSIDE}/") or ".." in path.split("/") for _, path in agent.mounts):
        yield _broken("agent", "a program's folder in another place", f"below {AGENTS_INSIDE}")
    for file in agent.files:
        if not _agents_own_place(plan, file):
            yield _broken("agent", ascii(file.path)[:80], "a file of the agent's own settings")


def _brought(plan: Plan, settings: Settings) -> Iterable[Violation]:
    """What comes with an agent of ours, because the user chose it: one of its own credentials, and the hosts of these. A manifest is the
    user's own, and read where files are."""
    from orchestrator.agents.catalog import PROFILES

    agent = plan.agent
    if (profile := PROFILES.get(agent.profile)) is None:
        return
    if agent.credential is not None and agent.credential not in [one.name for one in profile.credentials]:
        yield _broken("agent", f"the credential {ascii(agent.credential)[:80]}", f"one that {profile.name} takes")
    named = [parse_binding(text) for text in cast(tuple[str, ...], settings["secret_hosts"].value)]
    known = KNOWN.get(agent.credential or "")
    bound = [binding.text for binding in named if binding.name == agent.credential]
    hosts = {*profile.hosts, *bound, *(known.hosts if known is not None else ())}
    for host in agent.hosts:
        if host not in hosts:
            yield _broken("agent", f"a rule for {ascii(host)[:80]}", f"rules that {profile.name} needs")


_AGENT_PLACES = re.compile(
    rf"(?:/etc/(?:claude-code|codex|opencode|gemini-cli|qwen-code)|{re.escape(FILES_INSIDE)})/[A-Za-z0-9_-][A-Za-z0-9._-]*", re.ASCII
)


def _agents_own_place(plan: Plan, file: AgentText) -> bool:
    home = plan.devcontainer.user.home if plan.devcontainer is not None else HOME
    return bool(_AGENT_PLACES.fullmatch(file.path)) or (file.path.startswith(f"{home}/") and ".." not in file.path.split("/"))


def _preset_names(asked: tuple[str, ...]) -> set[str]:
    """Without aliases."""
    if not asked:
        return set()
    from orchestrator.presets import facts

    return {facts.names().get(name, name) for name in asked}


def _as_implied(rule: NetRule) -> bool:
    """The rows that a named repository brings along: its own path over https, or the ssh port of its host."""
    host, _, path = rule.origin.partition(" ")[2].partition("/")
    places = (f"/{path}/*", f"/{path}.git/*")
    if rule.origin.startswith("git.ssh "):
        return (rule.host, rule.ports, rule.raw, rule.private) == (host, (22,), True, False)
    return (rule.host, rule.ports, rule.raw, rule.private) == (host, (443,), False, False) and rule.path in places


def _inspected(plan: Plan, settings: Settings) -> Iterable[Violation]:
    """TLS is terminated only where a credential goes, or where the user has a rule about methods or paths."""
    bound = {split_bound(host)[0] for secret in plan.secrets for host in secret.hosts}
    ruled = {rule.host for rule in (*plan.network.allow, *plan.network.deny) if rule.methods or rule.path is not None}
    for host in plan.network.inspect:
        if host not in bound | ruled:
            yield _broken("network", f"TLS of {host} terminated", "for hosts of credentials and of rules with methods or paths only")
    for gateway in plan.network.gateways:
        if gateway.host not in bound:
            yield _broken("network", f"a gateway to {gateway.host}", "for hosts of credentials only")


def _git_rules(plan: Plan, settings: Settings) -> Iterable[Violation]:
    read, push = (cast(tuple[str, ...], settings[key].value) for key in ("git.read", "git.push"))
    for repo in plan.network.git:
        place = f"{repo.host}/{repo.path}"
        if place not in (push if repo.push else (*read, *push)):
            yield _beyond(settings, "git.push" if repo.push else "git.read", place)
    if plan.network.ssh not in (None, settings["git.ssh"].value):
        yield _beyond(settings, "git.ssh", plan.network.ssh)


def _secrets(plan: Plan, settings: Settings) -> Iterable[Violation]:
    """Each credential was asked for, from that source, for that phase; and it goes nowhere that nobody named."""
    granted = {phase: cast(tuple[str, ...], settings[SECRET_KEYS[phase]].value) for phase in PHASES}
    named = [parse_binding(text) for text in cast(tuple[str, ...], settings["secret_hosts"].value)]
    for secret in plan.secrets:
        texts = (f"{secret.name}={secret.source}", *((secret.name,) if secret.source == f"env://{secret.name}" else ()))
        for phase in secret.phases:
            own = secret.name == plan.agent.credential and secret.source == f"env://{secret.name}" and phase != "setup"
            if not any(text in granted[phase] for text in texts) and not (own and _chosen_by_user(settings)):
                yield _beyond(settings, SECRET_KEYS[phase], texts[-1])
        bound = {binding.text for binding in named if binding.name == secret.name}
        known = KNOWN[secret.name].hosts if secret.name in KNOWN else ()
        for host in secret.hosts:
            if host not in (bound or known):
                yield _beyond(settings, "secret_hosts", f"{secret.name}={host}")


def _limits(plan: Plan, settings: Settings) -> Iterable[Violation]:
    for field in fields(Limits):
        key, planned = LIMIT_KEYS[field.name], getattr(plan.limits, field.name)
        if not 0 <= planned <= cast(float, settings[key].value):
            yield _beyond(settings, key, planned)


def _unlimited(plan: Plan, settings: Settings) -> Iterable[Violation]:
    known = {*LIMIT_KEYS, *LIMIT_KEYS.values(), *(key.partition(".")[2] for key in LIMIT_KEYS.values())}
    for name in plan.unlimited:
        if name not in known:
            yield _broken("unlimited", ascii(name)[:80], "names of limits")


def _masks(plan: Plan, settings: Settings) -> Iterable[Violation]:
    for pattern in cast(tuple[str, ...], settings["sandbox.mask"].value):
        if pattern not in plan.sandbox.mask:
            yield _broken("sandbox", f"no mask for {pattern}", "all of sandbox.mask")


def _output(plan: Plan, settings: Settings) -> Iterable[Violation]:
    branch, setting = plan.output.branch, settings["output.branch"]
    if branch is None:
        return
    own = branch == setting.value and setting.layer not in REPOSITORY_LAYERS
    if branch_problem(branch) or not (own or branch.startswith("aienv/")):
        yield _beyond(settings, "output.branch", branch)


def _floor(plan: Plan, settings: Settings) -> Iterable[Violation]:
    if plan.require_isolation != settings["require_isolation"].value:
        yield _beyond(settings, "require_isolation", plan.require_isolation)


def _proper_variables(plan: Plan) -> bool:
    return all(VARIABLE_NAME.fullmatch(name) and "\0" not in value for name, value in plan.env)


def _proper_devcontainer(plan: Plan) -> bool:
    """What comes of a repository's file names nothing but places and people inside, and runs nothing but inside."""
    found = plan.devcontainer
    if found is None:
        return True
    names = [*(name for name, _ in found.env), *found.unset]
    texts = [*(value for _, value in found.env), *(word for hook in found.hooks for one in hook.commands for word in one.argv)]
    user = found.user
    return (
        plan.backend == "docker"
        and all(VARIABLE_NAME.fullmatch(name) for name in names)
        and not any("\0" in text for text in texts)
        and user.name != "root"
        and INSIDE_NAME.fullmatch(user.name) is not None
        and INSIDE_HOME.fullmatch(user.home) is not None
        and (found.folder + "/").startswith(plan.workspace + "/")
        and ".." not in found.folder.split("/")
    )


RULES: Mapping[str, Rule] = {
    "schema": _must("schema", lambda plan: plan.schema == "aienv.plan/1", "aienv.plan/1"),
    "task": _must("task", lambda plan: TASK_NAME.fullmatch(plan.task) is not None and ".." not in plan.task, "a task name"),
    "repo": _repo,
    "agent": _all(
        _must("agent", lambda plan: all("\0" not in word for word in plan.agent.argv), "free of NUL characters"),
        _only_when("tty", lambda plan: plan.agent.tty),
        _only_asked("agent_files", lambda plan: plan.agent.grants),
        _agent,
    ),
    "backend": _backend,
    "isolation": _isolation,
    "image": _image,
    # bubblewrap started as the real root is a way out of it; and root in the container is one step from root outside.
    "uid": _must("uid", lambda plan: 0 < plan.uid <= HIGHEST_ID, "an unprivileged user id, never 0"),
    "gid": _must("gid", lambda plan: 0 < plan.gid <= HIGHEST_ID, "an unprivileged group id, never 0"),
    "workspace": _must("workspace", lambda plan: plan.workspace == f"/workspaces/{plan.repo.name}", "/workspaces/<name>"),
    "docker": _docker,
    "network": _all(
        _network_mode,
        _only_asked("network.presets", lambda plan: plan.network.presets),
        _only_asked("network.private", lambda plan: plan.network.private),
        _network_rules,
        _inspected,
        _git_rules,
    ),
    "secrets": _secrets,
    "env": _must("env", _proper_variables, "names and values of variables"),
    "limits": _limits,
    "unlimited": _unlimited,
    "sandbox": _all(
        _masks,
        _only_asked("sandbox.unmask", lambda plan: plan.sandbox.unmask),
        _only_asked("sandbox.expose", lambda plan: plan.sandbox.expose),
    ),
    "seccomp": _must("seccomp", lambda plan: plan.seccomp not in ("", "none", "unconfined"), "a filter"),
    "setup": _free,  # these run in the environment, as the agent does
    "checks": _free,
    "verify": _free,
    "verifies": _must("verifies", lambda plan: plan.verifies is None, "None: a run makes the plans of its verifications itself"),
    "artifacts": _must("artifacts", lambda plan: not any(_leaves(pattern) for pattern in plan.artifacts), "below the workspace"),
    "output": _all(_output, _only_when("output.push", lambda plan: plan.output.push)),
    "keep": _only_when("keep", lambda plan: plan.keep),
    "require_isolation": _floor,
    "devcontainer": _all(
        _must("devcontainer", _proper_devcontainer, "a configuration that was settled for a container"),
        _only_asked("devcontainer.grants", lambda plan: plan.devcontainer.granted if plan.devcontainer is not None else ()),
    ),
    "guard": _all(_guard, _only_when("guard.learn", lambda plan: plan.guard is not None and plan.guard.learn)),
}


def _leaves(pattern: str) -> bool:
    return pattern.startswith("/") or ".." in pattern.split("/")
