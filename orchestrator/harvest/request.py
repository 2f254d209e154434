"""What the harvest program is asked to do, as the one file that it reads. Pure."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

MIB = 1024 * 1024

# A folder: copied or mounted to where the environment can read it, then started as ``python3 -I -S PROGRAM CONFIG``.
PROGRAM = Path(__file__).with_name("inside")


@dataclass(frozen=True, slots=True)
class HarvestLimits:
    """What one harvest may bring out. Changed files beyond ``bundle_bytes`` or ``files`` keep the workspace alive instead.

    ``ignored_bytes`` covers files that the repository ignores; what does not fit is named in the notes and goes with the workspace.
    """

    bundle_bytes: int = 4096 * MIB
    artifact_bytes: int = 1024 * MIB
    ignored_bytes: int = 16 * MIB
    files: int = 200_000


@dataclass(frozen=True, slots=True)
class HarvestRequest:
    """All paths are those inside the environment.

    ``objects``: read-only object folders of mirrors. ``masked``: workspace paths that the agent could not see; they keep what ``base`` has.
    ``masked_inodes``: the inode numbers of these files and folders before the run. A folder with a masked file in it can be renamed, and
    then the file would come out under its new name.
    ``known_refs``: the refs that the clone began with, as (full name, object id). ``time``: seconds since 1970, for the commits that
    harvest makes. ``shallow``: commits at which the mirror's history is cut.
    """

    workspace: str
    outbox: str
    base: str | None
    objects: tuple[str, ...]
    run_id: str
    task: str
    time: int
    masked: tuple[str, ...] = ()
    masked_inodes: tuple[int, ...] = ()
    artifacts: tuple[str, ...] = ()
    known_refs: tuple[tuple[str, str], ...] = ()
    shallow: tuple[str, ...] = ()
    lfs: bool = False
    git: str = "git"
    author: tuple[str, str] = ("aienv", "aienv@localhost")
    limits: HarvestLimits = HarvestLimits()
    deadline_s: float = 600.0


def config_bytes(request: HarvestRequest) -> bytes:
    """The contents of CONFIG.json; file names that are not UTF-8 travel as surrogate escapes."""
    return json.dumps(asdict(request), sort_keys=True).encode("ascii")


def harvest_command(python: str, program: str, config: str) -> tuple[str, ...]:
    """What to start inside: isolated from environment variables, user packages and the site module."""
    return (python, "-I", "-S", program, config)
