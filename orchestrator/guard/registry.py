"""What belongs to a session: full ids, from the daemon's own answers. Names are never kept as proof: they are asked anew each time.

Plain state without a lock: one thread has it. Labels in the engine mirror it for the time after a crash, and decide nothing.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from orchestrator.guard.calls import MountAsk, PortAsk, Shown, Usage
from orchestrator.guard.images import OwnImages

MAX_EXECS = 4096
MAX_GONE = 4096  # ids of what was removed, for events that come late


@dataclass(slots=True)
class Container:
    """One that a client made. ``image``: as the client named it. ``key``: under which its mounts are held."""

    id: str
    name: str
    image: str
    mounts: tuple[MountAsk, ...]
    ports: tuple[PortAsk, ...]
    shown: Shown
    share: Usage
    key: str
    inherits: bool = False  # mounts of another container (--volumes-from)
    anonymous: frozenset[str] = frozenset()  # names of volumes that the daemon made with it
    masks: frozenset[str] = frozenset()  # where files of the project lie under an empty one


@dataclass(slots=True)
class Registry:
    """``adopted``: containers of the project that were there at launch; they are shown and used, and stay. ``networks``: id -> name."""

    containers: dict[str, Container] = field(default_factory=dict)
    adopted: dict[str, str] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)
    internal: set[str] = field(default_factory=set)  # of these, those that were asked for as internal ones
    volumes: set[str] = field(default_factory=set)
    execs: dict[str, str] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)  # of these, those that were started and may still run
    images: OwnImages = field(default_factory=OwnImages)
    gone: dict[str, None] = field(default_factory=dict)
    pending: list[Usage] = field(default_factory=list)

    @contextlib.contextmanager
    def reserved(self, share: Usage) -> Iterator[None]:
        """While something is being made, it counts already: two at once must not both be the last one."""
        self.pending.append(share)
        try:
            yield
        finally:
            self.pending.remove(share)

    def owns_container(self, full_id: str) -> bool:
        return full_id in self.containers or full_id in self.adopted

    def forget_container(self, full_id: str) -> Container | None:
        self.adopted.pop(full_id, None)
        for command in [command for command, container in self.execs.items() if container == full_id]:
            del self.execs[command]
            self.running.discard(command)
        self._remember(full_id)
        return self.containers.pop(full_id, None)

    def add_exec(self, command: str, container: str) -> None:
        """The oldest are forgotten: the engine does that, too."""
        self.execs[command] = container
        while len(self.execs) > MAX_EXECS:
            oldest = next(one for one in self.execs if one not in self.running)
            del self.execs[oldest]

    def forget_network(self, full_id: str) -> None:
        self.internal.discard(full_id)
        if self.networks.pop(full_id, None) is not None:
            self._remember(full_id)

    def _remember(self, full_id: str) -> None:
        self.gone[full_id] = None
        while len(self.gone) > MAX_GONE:
            del self.gone[next(iter(self.gone))]

    def usage(self) -> Usage:
        shares = [*(container.share for container in self.containers.values()), *self.pending]
        return Usage(
            containers=sum(share.containers for share in shares),
            memory_bytes=sum(share.memory_bytes for share in shares),
            cpus=sum(share.cpus for share in shares),
            pids=sum(share.pids for share in shares),
            volumes=len(self.volumes) + sum(share.volumes for share in self.pending),
            networks=len(self.networks) + sum(share.networks for share in self.pending),
            execs=len(self.running) + sum(share.execs for share in self.pending),
            ports=sum(share.ports for share in shares),
            images=self.images.count + sum(share.images for share in self.pending),
        )

    def usage_without(self, full_id: str) -> Usage:
        """As if a container were not there: for its new shares."""
        rest = {key: one for key, one in self.containers.items() if key != full_id}
        return replace(self, containers=rest).usage()


def names_of(networks: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(sorted(networks.values()))
