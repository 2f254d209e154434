"""What happened: the run, its outcome, what was harvested, what was removed."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["succeeded", "failed", "timeout", "refused", "error", "interrupted"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the agent ended. ``exit_code`` as a shell shows it (128+n for a signal); None when it never started.

    ``limit``: stopped because it used more than one of its limits; a note says which. ``problem``: why an agent that exited with 0 has not
    done its work, by what it said; None: it has, or nobody can tell.
    """

    exit_code: int | None
    signal: int | None
    reason: Literal["exited", "timeout", "stopped", "interrupted", "lost", "limit"]
    duration_s: float
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """What an agent was and used. ``result``: by its own words. ``tokens``: (kind, count); ``cost_usd``: None where it reports none."""

    profile: str
    version: str
    mode: str
    model: str | None
    session: str | None = None
    turns: int = 0
    tool_calls: int = 0
    denials: int = 0
    tokens: tuple[tuple[str, int], ...] = ()
    cost_usd: float | None = None
    result: str = "unknown"
    error: str | None = None
    text: str = ""
    transcript: str | None = None
    sessions: str | None = None
    native: str | None = None


@dataclass(frozen=True, slots=True)
class CheckResult:
    command: str
    exit_code: int
    duration_s: float
    output_tail: str


@dataclass(frozen=True, slots=True)
class Verified:
    """A command on the result alone, in an environment of its own. ``run``: its record; ``status``: how that ended, ``succeeded`` is what
    passes. ``exit_code``: 124 when its time was over."""

    command: str
    exit_code: int
    duration_s: float
    output_tail: str
    run: str
    status: Status


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """``status`` as git names it: A, M, D, T (type), with ``host_executes`` when a tool on the host would run the file later."""

    status: str
    path: str
    old_mode: str
    new_mode: str
    host_executes: bool


@dataclass(frozen=True, slots=True)
class HarvestedRef:
    """One ref of the bundle: ``name`` below ``refs/aienv/<id>/`` and where the agent had it."""

    name: str
    commit: str
    origin: str


@dataclass(frozen=True, slots=True)
class NestedRepo:
    """A repository inside the workspace (submodule or the agent's own); its work lies in ``bundle`` in the run folder."""

    path: str
    bundle: str | None
    note: str


@dataclass(frozen=True, slots=True)
class Harvest:
    """What came out, already checked by the host.

    ``commit`` is the tip of the result (the agent's head, plus one commit for uncommitted work); it equals ``base`` when
    nothing changed. ``bundle`` and ``patch`` are file names in the run folder, None when there is nothing to hold.
    ``complete``: False when something exists only in the workspace, which then has to stay (``notes`` says what).
    """

    base: str | None
    head: str | None
    commit: str | None
    uncommitted: bool
    refs: tuple[HarvestedRef, ...]
    changed_files: tuple[ChangedFile, ...]
    nested: tuple[NestedRepo, ...]
    artifacts: tuple[str, ...]
    bundle: str | None
    patch: str | None
    notes: tuple[str, ...]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where the result stands in the user's repository: ``branch`` and the refs that were written."""

    branch: str | None
    refs: tuple[str, ...]
    pushed: bool
    note: str | None


@dataclass(frozen=True, slots=True)
class Teardown:
    removed: tuple[str, ...]
    left: tuple[str, ...]
