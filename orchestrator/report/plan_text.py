"""A plan for people: what would touch the host, what the agent would get. Pure."""

from collections.abc import Iterable

from orchestrator.model.plan import Plan
from orchestrator.report.text import duration, plural, printable, size


def plan_lines(plan: Plan, digest: str) -> list[str]:
    return [printable(f"{name + ':':<12} {text}") for name, text in _rows(plan, digest)]


def _rows(plan: Plan, digest: str) -> Iterable[tuple[str, str]]:
    repo = plan.repo
    yield "task", plan.task
    yield "repository", f"{repo.location} at {repo.commit or 'no commit yet'}" + (f" ({repo.branch})" if repo.branch else "")
    if repo.changes:
        yield "changes", f"{plural(repo.changes.files, 'uncommitted file')}, {repo.changes.digest}"
    yield "command", " ".join(plan.agent.argv)
    yield "backend", f"{plan.backend} ({plan.isolation}), as uid {plan.uid}"
    if plan.image:
        yield "image", f"{plan.image.reference} = {plan.image.id}"
    yield "workspace", plan.workspace
    yield "network", plan.network.mode
    yield "docker", plan.docker
    limits = plan.limits
    amounts = (f"{limits.cpus:g} cpus", size(limits.memory_bytes), f"{limits.pids} pids", f"{size(limits.disk_bytes)} disk")
    yield "limits", ", ".join((*amounts, duration(limits.timeout_s)))
    for limit in plan.unlimited:
        yield "not limited", limit
    for check in plan.checks:
        yield "check", check
    yield "result", plan.output.branch or f"branch aienv/{plan.task}-<run id>"
    yield "digest", digest
