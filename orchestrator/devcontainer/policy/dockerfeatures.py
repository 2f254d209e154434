"""Features that bring Docker are satisfied by the guard's socket instead of privilege or the engine's own socket. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.devcontainer.policy.container import Entry


@dataclass(frozen=True, slots=True)
class Satisfied:
    """``entries``: without what starts an engine or mounts a socket. ``sockets``: where the guard's socket must be mounted; empty if no
    feature wants Docker."""

    entries: tuple[Entry, ...]
    sockets: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def wants_docker(self) -> bool:
        return bool(self.sockets)


def satisfied(entries: Sequence[Entry]) -> Satisfied:
    """``entries`` of features name them in ``id``, as in the label."""
    raise NotImplementedError
