"""A plan for people: what would touch the host, what the agent would get. Pure."""

from collections.abc import Iterable

from orchestrator.egress.rules import rule_text
from orchestrator.model.plan import AgentPlan, Plan
from orchestrator.report.text import duration, plural, printable, size

MODES = {
    "readonly": "the agent sees that there is an engine, and nothing of others; every change is refused",
    "guarded": "containers of the run's own, with images named below",
    "full": "the engine's own socket: root on this machine",
}
PINNINGS = {
    "subpath": "parts of the workspace, as a volume of the engine's",
    "descriptor": "parts of the workspace, each held by a mount of ours",
    "freeze": "parts of the workspace, looked at while everything that writes there is paused",
    "whole": "the workspace as a whole only: nothing here could hold a part of it fast",
}


def plan_lines(plan: Plan, digest: str) -> list[str]:
    return [printable(f"{name + ':':<12} {text}") for name, text in _rows(plan, digest)]


def _rows(plan: Plan, digest: str) -> Iterable[tuple[str, str]]:
    repo = plan.repo
    yield "task", plan.task
    yield "repository", f"{repo.location} at {repo.commit or 'no commit yet'}" + (f" ({repo.branch})" if repo.branch else "")
    if repo.changes:
        yield "changes", f"{plural(repo.changes.files, 'uncommitted file')}, {repo.changes.digest}"
    yield from _agent(plan.agent)
    yield "backend", f"{plan.backend} ({plan.isolation}), as uid {plan.uid}"
    if plan.image:
        yield "image", f"{plan.image.reference} = {plan.image.id}"
    yield "workspace", plan.workspace
    yield from _devcontainer(plan)
    yield from _network(plan)
    yield from _docker(plan)
    limits = plan.limits
    amounts = (f"{limits.cpus:g} cpus", size(limits.memory_bytes), f"{limits.pids} pids", f"{size(limits.disk_bytes)} disk")
    yield "limits", ", ".join((*amounts, duration(limits.timeout_s)))
    for limit in plan.unlimited:
        yield "not limited", limit
    for command in plan.setup:
        yield "setup", command
    for check in plan.checks:
        yield "check", check
    for command in plan.verify:
        yield "verify", command
    yield "result", plan.output.branch or f"branch aienv/{plan.task}-<run id>"
    yield "digest", digest


def _agent(agent: AgentPlan) -> Iterable[tuple[str, str]]:
    if agent.profile != "command":
        facts = (f"{agent.profile} {agent.version}".strip(), agent.model or "its own model", f"permission mode {agent.mode}")
        yield "agent", ", ".join((*facts, "asks aienv before each tool call" if agent.deny is not None else "without hooks"))
        if agent.servers:
            yield "  mcp", ", ".join(agent.servers)
        for file in agent.files:
            yield "  file", f"{file.path}{' (read-only)' if file.locked else ''}"
        if agent.native is not None:
            yield "  session", f"{agent.native.session} of run {agent.native.run}"
    yield "command", " ".join(agent.argv)


def _devcontainer(plan: Plan) -> Iterable[tuple[str, str]]:
    found = plan.devcontainer
    if found is None:
        return
    yield "devcontainer", f"{found.path}, as {found.user.name} in {found.user.home}, builds with network {found.network}"
    for feature in found.features:
        yield "  feature", f"{feature.name} = {feature.digest}"
    for name, value in found.env:
        yield "  env", f"{name}={value}"
    for name in found.unset:
        yield "  unset", name
    for word in found.granted:
        yield "  granted", word
    for hook in found.hooks:
        for command in hook.commands:
            yield "  hook", f"{hook.words}{f' {command.name}' if command.name else ''}: {' '.join(command.argv)}"
    for note in found.notes:
        yield "  note", note


def _docker(plan: Plan) -> Iterable[tuple[str, str]]:
    guard = plan.guard
    yield "docker", plan.docker + (f": {MODES[guard.mode]}" if guard is not None else "")
    if guard is None or guard.mode != "guarded":
        return
    for image in guard.images:
        what = "to be pulled" if image.id is None else image.id.removeprefix("sha256:")[:12]
        yield "  image", f"{image.reference} = {what}  ({image.origin})"
    limits = guard.limits
    amounts = (plural(limits.containers, "container"), f"{limits.cpus:g} cpus", size(limits.memory_bytes), f"{limits.pids} pids")
    yield "  limits", ", ".join((*amounts, f"{limits.volumes} volumes", f"{limits.networks} networks", f"{limits.ports} ports"))
    yield "  mounts", PINNINGS[guard.pinning]
    if guard.learn:
        yield "  learn", "images that you could allow are let through, and noted"


def _network(plan: Plan) -> Iterable[tuple[str, str]]:
    network = plan.network
    yield "network", network.mode
    for rule in network.allow:
        yield "  allow", f"{rule_text(rule)}  ({rule.origin})"
    for rule in network.deny:
        yield "  deny", rule_text(rule, deny=True)
    for private in network.private:
        yield "  private", f"{private}: allowed names may have addresses there"
    for gateway in network.gateways:
        place = f"https://{gateway.host}" + ("" if gateway.port == 443 else f":{gateway.port}") + gateway.base_path
        yield "  gateway", f"{', '.join(name for name, _ in gateway.variables)}: {place}"
    for host in network.inspect:
        yield "  inspect", f"{host}: TLS ends at the broker"
    for repo in network.git:
        yield "  git", f"{repo.host}/{repo.path}" + (", push to aienv/*" if repo.push else ", read")
    if network.ssh is not None:
        yield "  ssh", f"your ssh agent signs logins to {network.ssh}: for all that its keys may do there"
    for secret in plan.secrets:
        yield "  secret", f"{secret.name} from {secret.source} for {', '.join(secret.hosts)} ({', '.join(secret.phases)})"
