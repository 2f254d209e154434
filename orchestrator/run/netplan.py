"""What may leave, resolved: rules, presets, credentials and their hosts become one ``NetworkPlan``. The values stay where they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.egress.rules import hosts_to_inspect, parse_rule
from orchestrator.errors import PolicyRefused
from orchestrator.model.network import CLOSED, GitRepo, NetRule, NetworkPlan, Phase, SecretPlan
from orchestrator.model.task import GitRules, SecretRules, TaskSpec
from orchestrator.secrets.bindings import AskedSecret, brokering_problems, brokering_warnings, plan_secrets
from orchestrator.secrets.sources import parse_secret
from orchestrator.secrets.sources import warnings as source_warnings

SSH_PORT = 22


@dataclass(frozen=True, slots=True)
class NetworkChoice:
    """The network and the credentials of a plan, and what was left out on the way."""

    network: NetworkPlan
    secrets: tuple[SecretPlan, ...]
    warnings: tuple[str, ...]


def choose_network(
    task: TaskSpec, environ: Mapping[str, str], home: Path, cwd: Path, besides: tuple[tuple[str, str], ...] = ()
) -> NetworkChoice:
    """Resolve what the task asks for, with the user's own client configurations where presets name clients. ``besides``: further rules that
    are allowed, each with its origin.

    Raises:
        ConfigError: an unknown preset, or a credential without a host.
        PolicyRefused: a credential that could not be used under these rules.
    """
    asked = task.network
    rows, warnings = _of_presets(asked.presets, environ, home, cwd)
    repositories = _repositories(task.git)
    planned = plan_secrets(_asked(task.secrets), task.secrets.hosts, repositories)
    brought = (parse_rule(text, origin) for text, origin in besides)
    allow = (*(parse_rule(text, "network.allow") for text in asked.allow), *rows, *brought, *_implied(repositories, task.git.ssh))
    deny = tuple(parse_rule(text, "network.deny", deny=True) for text in asked.deny)
    network = NetworkPlan(
        mode=asked.mode,
        presets=asked.presets,
        allow=tuple(dict.fromkeys(allow)),
        deny=deny,
        private=asked.private,
        inspect=tuple(sorted({*planned.inspect, *hosts_to_inspect((*allow, *deny))})),
        gateways=planned.gateways,
        git=repositories,
        ssh=task.git.ssh,
        warnings=warnings,
    )
    if asked.mode == "none":
        network = replace(CLOSED, presets=asked.presets, private=asked.private)
    _refuse_useless(network, planned.secrets, task)
    told = (
        *(warnings if asked.mode != "none" else ()),
        *(warning for secret in planned.secrets for warning in source_warnings(secret.source, environ, name=secret.name)),
        *brokering_warnings(network, planned.secrets),
    )
    return NetworkChoice(network, planned.secrets, told)


def _of_presets(
    names: tuple[str, ...], environ: Mapping[str, str], home: Path, cwd: Path
) -> tuple[tuple[NetRule, ...], tuple[str, ...]]:
    """The rows that named presets come to, and what was left out."""
    if not names:
        return (), ()
    from orchestrator.presets.resolve import resolve

    found = resolve(names, environ, home, cwd)
    return found.rules, found.warnings


def _asked(secrets: SecretRules) -> tuple[AskedSecret, ...]:
    phases: tuple[tuple[tuple[str, ...], tuple[Phase, ...]], ...] = ((secrets.agent, ("agent", "check")), (secrets.setup, ("setup",)))
    return tuple(AskedSecret(*parse_secret(text), asked_for) for texts, asked_for in phases for text in texts)


def _repositories(git: GitRules) -> tuple[GitRepo, ...]:
    """One row per repository; what may be pushed to may be read."""
    rows = dict.fromkeys(git.read, False) | dict.fromkeys(git.push, True)
    parts = ((place.partition("/"), push) for place, push in sorted(rows.items()))
    return tuple(GitRepo(host, path, push) for (host, _, path), push in parts)


def _implied(repositories: tuple[GitRepo, ...], ssh: str | None) -> tuple[NetRule, ...]:
    """Whoever names a repository means that it can be reached: that one, and nothing else on its host."""
    found = [
        NetRule(repo.host, (443,), ("GET", "POST"), f"/{repo.path}{ending}/*", False, False, f"git {repo.host}/{repo.path}")
        for repo in repositories
        for ending in ("", ".git")
    ]
    if ssh is not None:
        found.append(NetRule(ssh, (SSH_PORT,), (), None, raw=True, private=False, origin=f"git.ssh {ssh}"))
    return tuple(found)


def _refuse_useless(network: NetworkPlan, secrets: tuple[SecretPlan, ...], task: TaskSpec) -> None:
    """A credential that cannot be used would fail late and without a word about it; so the run does not start."""
    problems = brokering_problems(network, secrets)
    if network.mode == "none" and (task.git != GitRules()):
        problems.append(("git needs the network, whose mode is none", "--network allowlist"))
    refuse(problems)


def refuse(problems: Sequence[tuple[str, str]]) -> None:
    """Stop here when there are problems, as (message, remedy).

    Raises:
        PolicyRefused: names each of them.
    """
    if problems:
        raise PolicyRefused("; ".join(problem for problem, _ in problems), remedy="; ".join(dict.fromkeys(way for _, way in problems)))
