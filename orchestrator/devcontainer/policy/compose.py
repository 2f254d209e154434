"""What ``docker compose config`` prints, judged: all services, volumes, networks, secrets. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.policy.grants import Grants
from orchestrator.devcontainer.policy.verdict import Finding, WorkspaceGround


@dataclass(frozen=True, slots=True)
class ComposeVerdict:
    """``ports``: of the services whose ports must be replaced (``ports: !override`` in a further file), the whole list, long syntax.

    ``volumes``: names of volumes as the engine will know them. ``sources``: folders of this machine that are mounted.
    """

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    ports: Mapping[str, tuple[Object, ...]]
    volumes: tuple[str, ...]
    sources: tuple[str, ...]


def host_paths(config: bytes, folder: str) -> tuple[str, ...]:
    """Paths of this machine that are named, for ``WorkspaceGround.real``. ``folder``: of the first compose file."""
    raise NotImplementedError


def judge(config: bytes, service: str, ground: WorkspaceGround, grants: Grants, folder: str = "/") -> ComposeVerdict:
    """``config``: the output of ``docker compose config``. ``service``: the dev container's. ``folder``: of the first compose file.

    Raises:
        ConfigError: the output cannot be read, or has no such service.
    """
    raise NotImplementedError
