"""``aienv policy``: from what a run tried to what a task should allow, and from deny rules to what an agent is told."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from orchestrator.cli.common import finish_interrupted, json_option, paths, print_json
from orchestrator.errors import NotFound
from orchestrator.report.text import printable

if TYPE_CHECKING:
    from orchestrator.model.agent import Additions, AgentRules
    from orchestrator.model.network import NetworkPlan, NetworkUse
    from orchestrator.run.folder import RunFolder


@click.group(epilog="\b\nExamples:\n  aienv run --network learn -- make test\n  aienv policy suggest last >> .aienv/tasks/test.yaml")
def policy_command() -> None:
    """Network rules: what a run used, and what would allow it; deny rules, as an agent gets them."""


@policy_command.command("suggest")
@click.argument("run", default="last")
@json_option
def suggest_command(run: str, as_json: bool) -> None:
    """Print the smallest allow list for RUN (an id, the beginning of one, or "last") as YAML.

    It holds the places that RUN reached, and as comments those that it was refused.
    """
    from orchestrator.egress.suggest import suggestion
    from orchestrator.model.codec import to_plain
    from orchestrator.run.folder import find

    finish_interrupted(quiet=as_json)
    folder = find(paths(), run)
    use = _use(folder)
    found = suggestion(_network(folder), use.allowed)
    if as_json:
        refused = [{"host": denial.host, "port": denial.port, "rule": denial.rule, "allow_with": denial.yaml} for denial in use.denied]
        network = {"mode": "allowlist", **to_plain(found)}
        print_json({"schema": "aienv.suggestion/1", "run": folder.id, "network": network, "refused": refused})
        return
    click.echo(f"# what run {folder.id} reached\nnetwork:\n  mode: allowlist")
    for name, items in (("presets", found.presets), ("private", found.private)):
        if items:
            click.echo(f"  {name}: [{', '.join(map(_quoted, items))}]")
    click.echo("  allow:" if found.allow else "  allow: []")
    for text in found.allow:
        click.echo(f"    - {_quoted(text)}")
    for denial in use.denied:
        click.echo(f"    # refused: {denial.host}:{denial.port} ({denial.reason})".encode("ascii", "backslashreplace").decode())


@policy_command.command("show", epilog="\b\nExamples:\n  aienv policy show --agent codex\n  aienv policy show --agent claude --json")
@click.option("--agent", required=True, metavar="NAME", help="The agent: aienv agents ls.")
@click.option("--repo", metavar="PATH|URL", help="Repository whose settings count; default: the one around the current folder.")
@json_option
def show_command(agent: str, repo: str | None, as_json: bool) -> None:
    """Print what the deny rules and hooks of the configuration are in an agent's own format."""
    from orchestrator.agents import own
    from orchestrator.agents.catalog import PROFILES
    from orchestrator.agents.documents import render
    from orchestrator.agents.permissions import HOOK_COMMAND, HookPlace, permissions
    from orchestrator.cli.config import settings_of
    from orchestrator.config.task import task_from

    rules = task_from(settings_of(repo), default_name="policy", need_agent=False).work
    dialect = own.find(agent, os.environ, PROFILES).settings
    hooks = HookPlace(HOOK_COMMAND, dialect) if rules.hooks else None
    additions = permissions(dialect, rules.deny, hooks, project_hooks=bool(rules.grants))
    if as_json:
        print_json(_as_json(agent, rules, additions))
        return
    click.echo(printable(f"# {agent}: permission_mode {rules.mode}, hooks {'on' if rules.hooks else 'off'}"))
    if additions.words:
        click.echo(printable(f"# words: {' '.join(additions.words)}"))
    for name, value in additions.env:
        click.echo(printable(f"# variable: {name}={value}"))
    for note in additions.notes:
        click.echo(printable(f"# note: {note}"))
    for file in additions.files:
        click.echo()
        click.echo(printable(f"# {file.path}{' (the agent cannot change it)' if file.locked else ''}"))
        for line in render(file).decode().splitlines():
            click.echo(printable(line))


def _as_json(agent: str, rules: AgentRules, additions: Additions) -> dict[str, object]:
    files = [{"path": file.path, "format": file.format, "locked": file.locked, "content": file.content} for file in additions.files]
    return {
        "schema": "aienv.agent-policy/1",
        "agent": agent,
        "permission_mode": rules.mode,
        "hooks": rules.hooks,
        "deny": {"read": list(rules.deny.read), "run": list(rules.deny.run), "fetch": rules.deny.fetch},
        "words": list(additions.words),
        "env": dict(additions.env),
        "files": files,
        "notes": list(additions.notes),
    }


def _network(folder: RunFolder) -> NetworkPlan:
    """What the run was planned with.

    Raises:
        NotFound: nobody can tell.
    """
    from orchestrator.model.codec import from_plain
    from orchestrator.model.network import NetworkPlan

    try:
        return from_plain(NetworkPlan, json.loads(folder.plan.read_bytes())["network"])
    except (OSError, ValueError, KeyError) as problem:
        raise NotFound(f"run {folder.id} has no plan that can be read: {problem}", remedy="aienv ps --all lists the runs") from problem


def _use(folder: RunFolder) -> NetworkUse:
    """What the run's event log says about the network.

    Raises:
        NotFound: the run has no log yet.
    """
    from orchestrator.egress.summary import network_use

    if not folder.audit.exists():
        raise NotFound(f"run {folder.id} has no event log", remedy="aienv show says how far it came")
    with folder.audit.open("rb") as lines:
        return network_use(lines)


def _quoted(text: str) -> str:
    """A YAML scalar: plain where nothing in it means something to YAML."""
    plain = text[:1].isalnum() and not any(character in text for character in ",#{}[]&!|>'\"%@`: ")
    return text if plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
