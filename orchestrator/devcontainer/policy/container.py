"""The final arguments of a dev container, judged: what entries and file ask for becomes findings, notes and arguments of ours. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.policy.grants import Grants
from orchestrator.devcontainer.policy.verdict import Finding, WorkspaceGround, refuse

__all__ = ["Entry", "Final", "Verdict", "WorkspaceGround", "host_paths", "judge", "refuse"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the merged metadata, variables replaced; ``origin``: who asks, for people: ``feature ghcr.io/x/y:1``."""

    origin: str
    values: Object


@dataclass(frozen=True, slots=True)
class Final:
    """Arguments for ``docker run`` that hold nothing that was not granted. They replace those of the configuration, of the entries too.

    ``run_args``: of runArgs what no other field has. ``ports``: values of ``--publish``. ``mounts``: values of ``--mount``, without the
    workspace's; ``workspace_mount``: the file's own, None if it has none, empty for no mount. ``env``: of runArgs, ``NAME=value``, or
    ``NAME`` alone for one of this machine that was granted; ``labels``: of runArgs. ``user``: of runArgs. ``volumes``: names of all
    volumes that are mounted, to be looked at. ``initialize``: whether initializeCommand may run.
    """

    run_args: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    workspace_mount: str | None = None
    volumes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    privileged: bool = False
    init: bool = False
    cap_add: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    gpus: str | None = None
    user: str | None = None
    env: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    initialize: bool = False

    def words(self) -> tuple[str, ...]:
        """All of it as options of ``docker run``, without the workspace's mount."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Verdict:
    """``findings``: what is refused; ``final`` is only to be used without any. ``notes``: what was taken away, and what would give it."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    final: Final


def host_paths(entries: Sequence[Entry], config: Object) -> tuple[str, ...]:
    """Paths of this machine that are asked for as mounts, for ``WorkspaceGround.real``."""
    raise NotImplementedError


def judge(entries: Sequence[Entry], config: Object, ground: WorkspaceGround, grants: Grants) -> Verdict:
    """``entries``: the weakest first; ``config``: the file, variables replaced (runArgs, appPort, workspaceMount, initializeCommand).

    Never raises for what is asked: what cannot be read is a finding.
    """
    raise NotImplementedError
