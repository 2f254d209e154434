"""The run's way out, opened: credentials fetched, stand-ins made, an authority for inspected hosts, and the broker told.

The values are in the memory of this process and of the broker, and nowhere else; inside there are only stand-ins.
"""

import base64
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from socket import socket

from orchestrator.broker.client import Broker
from orchestrator.egress.config import EgressConfig, SshConfig, TlsConfig
from orchestrator.egress.standins import BoundSecret, make_stand_in
from orchestrator.errors import ConfigError, EnvironmentFailed
from orchestrator.model.network import GATEWAY_PORT, SSH_SOCKET, Gateway, NetworkPlan, Phase, SecretPlan
from orchestrator.model.plan import Plan
from orchestrator.run.environ import CA_JKS, CA_PEM, KNOWN_HOSTS
from orchestrator.run.network import NetworkSession, NoNetwork, listeners
from orchestrator.secrets.authority import issue
from orchestrator.secrets.gitconfig import GitSecret, git_environment, git_settings
from orchestrator.secrets.knownhosts import FILES, host_keys
from orchestrator.secrets.sources import resolve
from orchestrator.secrets.trust import bundle as trusted
from orchestrator.secrets.trust import java_trust_store, user_bundle


@dataclass(frozen=True, slots=True)
class Egress:
    """A session that the broker serves."""

    plan: NetworkPlan
    broker: Broker
    files: tuple[tuple[str, bytes], ...]
    variables: Mapping[Phase, tuple[tuple[str, str], ...]]

    def inputs(self) -> tuple[tuple[str, bytes], ...]:
        return self.files

    def env(self, phase: Phase) -> tuple[tuple[str, str], ...]:
        return self.variables[phase]

    def settle(self) -> None:
        self.broker.await_egress()

    def listen(self, phase: Phase, sockets: Sequence[socket]) -> None:
        self.broker.listen(phase, {name: sock.fileno() for name, sock in zip(listeners(self.plan), sockets, strict=True)})

    def quiet(self) -> None:
        with contextlib.suppress(EnvironmentFailed):  # a broker that is gone has closed them; the run hears of it elsewhere
            self.broker.quiet()


def fetch_secrets(plan: Plan, environ: Mapping[str, str], chance: Callable[[int], bytes] = os.urandom) -> tuple[BoundSecret, ...]:
    """The values of the plan's credentials, each with a stand-in made for this run.

    Raises:
        ConfigError: one of them cannot be had; nothing has been started then.
    """
    return tuple(_bound(secret, resolve(secret.source, environ, name=secret.name), chance) for secret in plan.secrets)


def _bound(secret: SecretPlan, value: str, chance: Callable[[int], bytes]) -> BoundSecret:
    return BoundSecret(secret.name, make_stand_in(value, chance), value, secret.hosts, secret.phases)


def find_ssh(plan: Plan, environ: Mapping[str, str]) -> SshConfig | None:
    """The user's agent and the keys of the one host that it may sign for.

    Raises:
        ConfigError: there is no agent, or the host is not known; nothing has been started then.
    """
    host = plan.network.ssh
    if host is None:
        return None
    agent = environ.get("SSH_AUTH_SOCK", "")
    if not agent:
        raise ConfigError("git.ssh needs your ssh agent, and SSH_AUTH_SOCK is not set", remedy="eval $(ssh-agent); ssh-add")
    files = (Path(place.replace("~", environ.get("HOME") or "/nonexistent", 1)) for place in FILES)
    keys = host_keys([file.read_text("utf-8", "replace") for file in files if file.is_file()], host)
    if not keys:
        raise ConfigError(f"no key of {host} is known on your side, so nobody could tell it from another", remedy=f"ssh {host}")
    texts = tuple(base64.b64encode(key).decode("ascii") for key in keys)
    return SshConfig(host=host, host_keys=texts, agent_socket=agent, listener="ssh")


def open_network(
    plan: Plan, run_id: str, secrets: Sequence[BoundSecret], ssh: SshConfig | None, broker: Broker, environ: Mapping[str, str]
) -> NetworkSession:
    """Tell the broker what may leave; its answer is awaited by ``settle``, for it takes its time."""
    network = plan.network
    if network.mode == "none":
        return NoNetwork(network)
    issued = issue(network.inspect, run_id, datetime.now(UTC)) if network.inspect else None
    tls = TlsConfig(issued.leaves) if issued else None
    broker.begin_egress(EgressConfig(run_id, network, tuple(secrets), tls, user_bundle(environ), ssh))
    bundle = trusted(environ, issued.authority if issued else "")
    files = ((CA_PEM, bundle), (CA_JKS, java_trust_store(bundle)), *(((KNOWN_HOSTS, _known_hosts(ssh)),) if ssh else ()))
    return Egress(network, broker, files, {phase: _variables(network, secrets, phase) for phase in ("setup", "agent", "check")})


def _known_hosts(ssh: SshConfig) -> bytes:
    """What ssh inside knows the host by: the same keys as the user's own."""
    return "".join(f"{ssh.host} {_kind(key)} {key}\n" for key in ssh.host_keys).encode("ascii")


def _kind(key: str) -> str:
    """The name that a key's blob begins with: its length in four bytes, then the name."""
    blob = base64.b64decode(key)
    return blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode("ascii", "replace")


def _variables(network: NetworkPlan, secrets: Sequence[BoundSecret], phase: Phase) -> tuple[tuple[str, str], ...]:
    """Stand-ins, and the addresses under which programs find the gateways that these go through."""
    mine = [secret for secret in secrets if phase in secret.phases]
    variables = {secret.name: secret.stand_in for secret in mine}
    variables |= {"SSH_AUTH_SOCK": SSH_SOCKET} if network.ssh is not None else {}
    for gateway in network.gateways:
        if any(_leads_to(gateway, secret) for secret in mine):
            variables |= {name: f"http://127.0.0.1:{GATEWAY_PORT}/{gateway.name}{path}" for name, path in gateway.variables}
    git = git_settings(network.git, [GitSecret(secret.name, secret.stand_in, secret.hosts, secret.phases) for secret in mine], phase)
    return tuple(sorted((variables | dict(git_environment(git))).items()))


def _leads_to(gateway: Gateway, secret: BoundSecret) -> bool:
    return any(host in (gateway.host, f"{gateway.host}:{gateway.port}") for host in secret.hosts)
