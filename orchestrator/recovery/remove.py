"""``aienv rm``: a run and everything that bears its id."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.backends.protocol import Backend, EnvRef
from orchestrator.backends.select import maker
from orchestrator.errors import AienvError, BackendUnavailable, EnvironmentFailed, HarvestFailed
from orchestrator.harvest.deliver import undeliver
from orchestrator.model.codec import from_plain
from orchestrator.model.paths import Paths
from orchestrator.model.plan import BackendName, Plan
from orchestrator.recovery.recover import forget
from orchestrator.repos import mirror as mirrors
from orchestrator.run import folder as folders
from orchestrator.run.docker import guard_folder, take_back
from orchestrator.run.folder import RunFolder
from orchestrator.run.journal import read_journal
from orchestrator.run.listing import read_json
from orchestrator.run.steps import MAY_HAVE_WRITTEN
from orchestrator.run.teardown import ROLES

SWEEP_S = 30.0


def remove_run(paths: Paths, folder: RunFolder, environ: Mapping[str, str], discard: bool) -> None:
    """Remove a run that nobody owns, and its verifications. ``discard``: also work that could not be harvested.

    Raises:
        HarvestFailed: the workspace holds work that is nowhere else, and ``discard`` was not given.
        AienvError: an environment of it could not be removed.
    """
    lock = folders.acquire(folder)
    if lock is None and folder.mark.exists():
        raise EnvironmentFailed(f"run {folder.id} is still being finished", remedy="try again in a moment", code="running")
    report, plan = read_json(folder.report), read_json(folder.plan) or {}
    verifications = [str(one["run"]) for one in (report or {}).get("verify", ())]
    if holds_work(folder, report) and not discard:
        if lock is not None:
            lock.release()
        raise HarvestFailed(
            f"run {folder.id} holds work that was not harvested, in {folder.work / 'workspace'}",
            remedy=f"aienv gc tries again; aienv rm --force {folder.id} throws it away",
        )
    try:
        _destroy_environments(paths, folder.id, plan.get("backend"), environ)
        _sweep_docker(folder, plan, environ)
        _take_back(paths, folder)
        if plan and plan["repo"]["kind"] == "path" and Path(plan["repo"]["location"]).is_dir():
            undeliver(Path(plan["repo"]["location"]), folder.id)
        mirrors.release(paths.mirrors, folder.id)
        forget(paths, folder)
    finally:
        if lock is not None:
            lock.release()
    for run_id in verifications:
        if (below := folders.run_folder(paths, run_id)).run.exists():
            remove_run(paths, below, environ, discard)


def holds_work(folder: RunFolder, report: dict[str, Any] | None) -> bool:
    """Whether the workspace has something that is nowhere else, as far as we know."""
    if not any(folder.work.glob("workspace/*")):
        return False
    if report is None:
        verifies = (read_json(folder.plan) or {}).get("verifies")  # what a verification writes is nobody's work
        return verifies is None and bool(MAY_HAVE_WRITTEN & read_journal(folder.journal).begun)
    return bool(report["kept"]) and (report["error"] is not None or not report["result"].get("complete", False))


def _destroy_environments(paths: Paths, run_id: str, backend: BackendName | None, environ: Mapping[str, str]) -> None:
    """``backend``: None when the plan is lost; then it may have been any that can be asked now."""
    make = maker(paths.work, paths.cache, environ, lambda text: None)
    named = backend or ("docker" if _answers(make("docker")) else "local")
    for name in dict.fromkeys((named, "local")):
        place = make(name)
        for role in ROLES:
            try:
                place.destroy(EnvRef(run_id, role, name, None))
            except AienvError as problem:
                message = f"an environment of run {run_id} could not be removed: {problem}"
                raise AienvError(message, remedy=problem.remedy, code=problem.code) from problem


def _sweep_docker(folder: RunFolder, plan: Mapping[str, Any], environ: Mapping[str, str]) -> None:
    """What was made through the run's guard. A lost plan names no engine: then it is looked for in the one that is in use."""
    guard = plan.get("guard")
    if plan and not guard:
        return
    from orchestrator.backends.docker_endpoint import find_endpoint
    from orchestrator.guard.sweep import sessions, sweep

    try:
        address = str(guard["daemon"]) if guard else find_endpoint(None, environ).address
    except AienvError:
        return
    if not guard and folder.id not in sessions(address, SWEEP_S):
        return
    _, left = sweep(address, folder.id, guard_folder(folder), SWEEP_S)
    if left:
        message = f"what run {folder.id} made with Docker could not be removed: {', '.join(left)}"
        raise AienvError(message, remedy="when the engine answers again: aienv gc", code="left-behind")


def _take_back(paths: Paths, folder: RunFolder) -> None:
    """What containers left in the workspace is others', and could not be removed."""
    with contextlib.suppress(OSError, ValueError):  # a lost plan: then removing says what stands in its way
        take_back(from_plain(Plan, json.loads(folder.plan.read_bytes())), folder, paths.cache)


def _answers(backend: Backend) -> bool:
    try:
        backend.check()
    except BackendUnavailable:
        return False
    return True
