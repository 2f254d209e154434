"""``aienv policy``: from what a run tried to what a task should allow."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from orchestrator.cli.common import finish_interrupted, json_option, paths, print_json
from orchestrator.errors import NotFound

if TYPE_CHECKING:
    from orchestrator.model.network import NetworkPlan, NetworkUse
    from orchestrator.run.folder import RunFolder


@click.group(epilog="\b\nExamples:\n  aienv run --network learn -- make test\n  aienv policy suggest last >> .aienv/tasks/test.yaml")
def policy_command() -> None:
    """Network rules: what a run used, and what would allow it."""


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
