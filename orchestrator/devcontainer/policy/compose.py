"""What ``docker compose config`` prints, judged: all services, volumes, networks, secrets. Pure. A key without a row is refused.

What compose replaces and reads on the way (variables, ``.env``, ``env_file``) is gone from that output: it must be run with no more
environment than ``localenv.visible`` gives, and so must the commands that act on it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from orchestrator.config.node import Node
from orchestrator.config.yamlfile import parse_yaml
from orchestrator.devcontainer.policy import runargs
from orchestrator.devcontainer.policy.asks import Ask, settle
from orchestrator.devcontainer.policy.composerules import (
    Ground,
    Rule,
    as_option,
    ask_for,
    files,
    fine,
    is_true,
    labels,
    map_of,
    member,
    members,
    need,
    of_kind,
    row,
    says,
    table,
)
from orchestrator.devcontainer.policy.composeservice import SERVICE
from orchestrator.devcontainer.policy.grants import Grants
from orchestrator.devcontainer.policy.verdict import Finding, WorkspaceGround
from orchestrator.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ComposeVerdict:
    """``ports``: of the services whose ports must be replaced (``ports: !override [...]`` in a further file), the whole list.

    ``volumes``: names as the engine will know them, as far as the output says them. ``sources``: what is mounted of this machine.
    """

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    ports: Mapping[str, tuple[str, ...]]
    volumes: tuple[str, ...]
    sources: tuple[str, ...]


def judge(config: bytes, service: str, ground: WorkspaceGround, grants: Grants, folder: str = "/") -> ComposeVerdict:
    """``config``: the output of ``docker compose config``. ``service``: the dev container's. ``folder``: of the first compose file.

    Raises:
        ConfigError: the output cannot be read, or has no such service.
    """
    root = parse_yaml(config, "compose config", aliases=True)
    services = members(member(root, "services"))
    if service not in services:
        raise ConfigError(f"Service '{service}' configured in devcontainer.json not found in Docker Compose configuration.")
    known = Ground(ground, folder, frozenset(services), _volume_names(root))
    settled = settle(_asks(root, known), grants)
    published: dict[str, tuple[str, ...]] = {}
    for name in services:
        own = tuple(ask for ask in settled.asks if ask.field == f"ports of {name}")
        if any(ask.words and ask.words[0] != ask.what for ask in own):
            published[name] = tuple(word for ask in own for word in ask.words)
    return ComposeVerdict(
        settled.findings,
        settled.notes,
        published,
        tuple(dict.fromkeys(ask.volume for ask in settled.asks if ask.volume is not None)),
        tuple(dict.fromkeys(ask.source for ask in settled.asks if ask.source is not None)),
    )


def host_paths(config: bytes, folder: str = "/") -> tuple[str, ...]:
    """Paths of this machine that are named: follow their links for ``WorkspaceGround.real``.

    Raises:
        ConfigError: the output cannot be read.
    """
    root = parse_yaml(config, "compose config", aliases=True)
    wanted: list[str] = []
    for _, ask in _asks(root, Ground(WorkspaceGround(()), folder, volumes=_volume_names(root))):
        wanted += [need.grant.removeprefix("mount:") for need in ask.needs if need.grant is not None and need.grant.startswith("mount:")]
        wanted += [] if ask.source is None else [ask.source]
    return tuple(dict.fromkeys(wanted))


def _asks(root: Node, ground: Ground) -> Iterator[tuple[str, Ask]]:
    for name, service in members(member(root, "services")).items():
        origin = f"service {name} of the compose file"
        for key, value in members(service).items():
            for ask in row(SERVICE, key)(key, value, ground) if says(value) else ():
                yield origin, replace(ask, field=f"ports of {name}") if ask.field == "ports" else ask
    for key, value in root.members:
        for ask in row(TOP, key)(key, value, ground) if says(value) else ():
            yield "the compose file", ask


def _volume_names(root: Node) -> dict[str, str]:
    """The engine's names: that of the file, or the project's with the key behind it."""
    project = member(root, "name").text
    return {
        key: member(value, "name").text or (f"{project}_{key}" if project else key)
        for key, value in members(member(root, "volumes")).items()
    }


# --- the top of the file -------------------------------------------------------------------------------------------------------


def _is_external(node: Node) -> bool:
    return is_true(member(node, "external"))


def _top_volumes(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
    for name, value in node.members:
        known = ground.volumes.get(name, name)
        yield Ask(f"the volume {known}", volume=known)
        if _is_external(value):
            yield ask_for(f"the volume {known}", f"volume:{known}", "it is another project's")
        yield from table("volumes", {
            "name": fine, "labels": labels, "external": fine, "driver": as_option("volume-driver"),
            "driver_opts": need("volumes.driver_opts", "a driver can mount anything from anywhere"),
        })(f"volume {name}", value, ground) if says(value) else ()  # fmt: skip


def _top_networks(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
    for name, value in node.members:
        if _is_external(value):
            external = member(value, "name").text or member(member(value, "external"), "name").text or name
            yield Ask(f"the network {external}", needs=runargs.network_needs(external))
        yield from table("networks", {
            **dict.fromkeys(("name", "internal", "attachable", "enable_ipv4", "enable_ipv6", "ipam", "external"), fine), "labels": labels,
            "driver": of_kind("network", "bridge", "overlay", "none", why="it reaches the network of this machine"),
            "driver_opts": need("networks.driver_opts", "it steers the network of this machine"),
        })(f"network {name}", value, ground) if says(value) else ()  # fmt: skip


def _given(prefix: str) -> Rule:
    """Configs and secrets."""

    def rule(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
        yield from map_of(prefix, {
            **dict.fromkeys(("name", "content", "labels"), fine),
            "file": files,
            "environment": _variable,
        })(key, node, ground)  # fmt: skip

    return rule


def _variable(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
    yield ask_for(f"{key}: {node.text}", f"localEnv:{node.text}", "it is a variable of this machine")


TOP: Mapping[str, Rule] = {
    "name": fine,
    "version": fine,
    "services": fine,
    "volumes": _top_volumes,
    "networks": _top_networks,
    "configs": _given("configs"),
    "secrets": _given("secrets"),
}
