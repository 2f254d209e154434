"""From what a run used to the smallest list that allows just that."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from orchestrator.egress.hosts import BadHost, Host, canonical_host
from orchestrator.egress.rules import host_matches, rule_text
from orchestrator.model.network import HostUse, NetRule, NetworkPlan

_PRESET = "preset "  # how the origins of their rows begin


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Members of ``network`` in a task, each sorted."""

    presets: tuple[str, ...]
    private: tuple[str, ...]
    allow: tuple[str, ...]


def suggestion(plan: NetworkPlan, uses: Iterable[HostUse]) -> Suggestion:
    """What lets the uses of a run pass, and of its own rows no more than these need.

    A host alone says neither that bare bytes may pass, nor that addresses may be private, nor which methods and paths: where the run's
    rows said so, these rows and presets are kept.
    """
    presets: set[str] = set()
    allow: set[str] = set()
    for use in uses:
        host = _host(use)
        if host is None:
            continue
        rows = [rule for rule in plan.allow if host_matches(rule.host, host) and use.port in rule.ports]
        if of_presets := {_preset(rule) for rule in rows if rule.private}:
            presets |= of_presets
            continue
        kept = [rule for rule in rows if rule.raw] or (rows if plan.mode == "allowlist" and not any(map(_is_whole, rows)) else [])
        allow |= {rule_text(replace(rule, host=host.name, ports=(use.port,))) for rule in kept} or set(suggest([use]))
    return Suggestion(tuple(sorted(presets)), plan.private, tuple(sorted(allow)))


def _preset(rule: NetRule) -> str:
    """The preset that a row comes from; only presets have rows with private addresses."""
    return rule.origin.removeprefix(_PRESET).partition(":")[0]


def suggest(uses: Iterable[HostUse]) -> list[str]:
    """Exact hosts, with ports other than 443, as items of ``network.allow``, sorted.

    What is no host and no port is left out: ``uses`` may come from a file.
    """
    found = {(host.name, use.port) for use in uses if (host := _host(use)) is not None}
    return [rule_text(NetRule(name, (port,), (), None, False, False, "")) for name, port in sorted(found)]


def _is_whole(rule: NetRule) -> bool:
    """Whether every request may pass by it."""
    return not rule.methods and rule.path is None and not rule.raw


def _host(use: HostUse) -> Host | None:
    try:
        host = canonical_host(f"[{use.host}]" if ":" in use.host and not use.host.startswith("[") else use.host)
    except BadHost:
        return None
    return host if 1 <= use.port <= 65535 else None
