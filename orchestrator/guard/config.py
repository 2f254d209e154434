"""What a guard is started with, beside the log that it writes to: one line of JSON, or the command line of the stand-alone one."""

from dataclasses import dataclass

from orchestrator.guard.calls import Session
from orchestrator.model.codec import from_plain, to_plain


@dataclass(frozen=True, slots=True)
class GuardConfig:
    """``folder``: of the guard's own, on this machine's disk and out of the agent's reach; what it mounts lies below.

    ``writers``: containers that can write the project and are not made through the guard: the agent's own. ``adopt``: folders whose
    compose projects' containers, those that are there now, belong to the session. ``toolbox``: the folder that the gate runs from, and
    ``gate_image``: the image under it, by id; None: nothing can stand in the containers' network, an empty image is made. ``ports_here``:
    clients share this process's loopback, so published ports appear there when no porter was given. ``mask``, ``unmask``: patterns of
    files of the maps that stay empty in containers; () where such files are empty themselves.
    """

    session: Session
    folder: str
    writers: tuple[str, ...] = ()
    adopt: tuple[str, ...] = ()
    toolbox: str | None = None
    gate_image: str | None = None
    ports_here: bool = False
    mask: tuple[str, ...] = ()
    unmask: tuple[str, ...] = ()


def parse(plain: object) -> GuardConfig:
    """Raises ValueError: a member is missing, unknown or of another type."""
    return from_plain(GuardConfig, plain)


def as_plain(config: GuardConfig) -> dict[str, object]:
    return dict(to_plain(config))
