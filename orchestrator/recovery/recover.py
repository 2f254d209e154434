"""Finish a run whose main process is gone. Called by the broker that outlived it, or by the next command.

The journal says how far it came; what exists is looked up. Every stage is the run's own and can be repeated, so a recovery
that is killed is followed by another.
"""

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator import trees
from orchestrator.audit.log import AuditLog
from orchestrator.audit.record import Head
from orchestrator.backends.select import maker
from orchestrator.errors import AienvError, EnvironmentFailed, Interrupted
from orchestrator.model.codec import digest, from_plain
from orchestrator.model.paths import Paths
from orchestrator.model.plan import Plan
from orchestrator.model.record import CheckResult, Delivery, Harvest, Outcome, Verified
from orchestrator.model.report import RunRecord
from orchestrator.report.progress import Progress
from orchestrator.run import folder as folders
from orchestrator.run.agent_files import keep_sessions, kept_sessions
from orchestrator.run.agent_work import remembered
from orchestrator.run.bring_out import bring_out
from orchestrator.run.context import Context, Workspace
from orchestrator.run.execute import Result, attempt, finish, quiesce
from orchestrator.run.faults import Faults
from orchestrator.run.files import write_atomically
from orchestrator.run.folder import RunFolder, RunLock
from orchestrator.run.journal import Journal, JournalState, read_journal
from orchestrator.run.steps import MAY_HAVE_WRITTEN, Step
from orchestrator.run.teardown import remove_work, tear_down

LOCK_WAIT_S = 10.0
RECOVERY_WAIT_S = 300.0
POLL_S = 0.05


@dataclass(slots=True)
class LogRecorder:
    """The event log without a broker."""

    log: AuditLog

    def event(self, kind: str, facts: Mapping[str, object]) -> None:
        self.log.write(kind, dict(facts))

    def sync(self) -> Head:
        self.log.sync()
        return self.log.head

    def close(self) -> Head:
        self.log.close()
        return self.log.head


def sweep(paths: Paths, environ: Mapping[str, str], progress: Progress, retry: bool = False) -> list[RunRecord]:
    """Finish every run that nobody looks after. Runs whose owner lives are left alone."""
    records = []
    if retry:
        _await_recoveries(paths)
    for run_id in folders.active_ids(paths):
        record = recover(paths, run_id, environ, progress, retry=retry)
        if retry:
            _await_recoveries(paths)  # somebody else may have been quicker
        if record is not None:
            records.append(record)
    return records


def _await_recoveries(paths: Paths) -> None:
    """A broker that is finishing a run right now needs no help, only time; one that began to a moment ago is seen then."""
    end = time.monotonic() + RECOVERY_WAIT_S
    for run_id in folders.active_ids(paths):
        folder = folders.run_folder(paths, run_id)
        while (owner := folders.owner_of(folder)) is not None and owner.recovering and time.monotonic() < end:
            time.sleep(POLL_S)


def recover(
    paths: Paths, run_id: str, environ: Mapping[str, str], progress: Progress, wait_s: float = 0.0, retry: bool = False
) -> RunRecord | None:
    """Finish one run; None when it is finished already, or somebody else is at it. ``retry``: also a harvest that failed before."""
    folder = folders.run_folder(paths, run_id)
    lock = folders.acquire(folder, wait_s)
    if lock is None:
        return None
    lock.claim()
    try:
        return _recover(paths, folder, lock, environ, progress, retry)
    except AienvError as problem:
        progress.say(f"run {run_id} could not be finished: {problem.message}")
        return None
    finally:
        if folder.mark.exists():
            lock.release()


def _recover(
    paths: Paths, folder: RunFolder, lock: RunLock, environ: Mapping[str, str], progress: Progress, retry: bool
) -> RunRecord | None:
    state = read_journal(folder.journal)
    plan = _plan(folder, state)
    if plan is None:
        with contextlib.suppress(OSError):
            trees.remove(folder.run)
        with contextlib.suppress(OSError):
            remove_work(folder.work)
        lock.finish(folder)
        return None
    report = _report(folder) if Step.REPORT in state.ended else None
    if report is not None and report["kept"] and not report["teardown"]["left"] and not (retry and _unfinished(report)):
        return None  # its workspace waits for its user, or for aienv gc
    context = _context(paths, folder, plan, state, environ, progress)
    context.recorder.event("recovery.start", {"begun": sorted(state.begun), "ended": sorted(state.ended)})
    if report is not None and not (retry and report["kept"]):
        _finish_teardown(context, report, lock)
        return None
    progress.say(f"finishing run {folder.id}, which was interrupted")
    setup, checks = (_results(state, step) for step in (Step.SETUP, Step.CHECKS))
    result = Result(outcome=_outcome(state), setup=setup, checks=checks, verify=_verified(state))
    result.has_work = bool(MAY_HAVE_WRITTEN & state.begun) and plan.verifies is None
    result.failure = _verdict(plan, state, result)
    again = report is not None or Step.DELIVER not in state.ended
    if again and result.has_work and context.workspace is not None:
        _finish_harvest(context, result)
    elif Step.DELIVER in state.ended:
        result.harvest = from_plain(Harvest, state.facts[Step.RECEIVE]["_harvest"])
        result.delivery = from_plain(Delivery, state.facts[Step.DELIVER]["_delivery"])
        result.agent = remembered(context, kept_sessions(context))  # as the run kept them: checks have the same home
    return finish(context, result, lock, recovered=True)


def _unfinished(report: dict[str, Any]) -> bool:
    """Whether the workspace was kept because it holds what was not brought out, and not because the user wished it."""
    return bool(report["error"]) or not report["result"].get("complete", True)


def _finish_teardown(context: Context, report: dict[str, Any], lock: RunLock) -> None:
    """The run is told already; only something of it was left, perhaps because its engine did not answer."""
    teardown = tear_down(context, keep_work=bool(report["kept"]))
    report["teardown"] = {"removed": [*report["teardown"]["removed"], *teardown.removed], "left": list(teardown.left)}
    head = context.recorder.close()
    report["audit"] |= {"head": head.hash, "events": head.events}
    write_atomically(context.folder.report, json.dumps(report, indent=1, sort_keys=True).encode() + b"\n")
    if not teardown.left and not report["kept"]:
        context.journal.close()
        lock.finish(context.folder)


def _report(folder: RunFolder) -> dict[str, Any] | None:
    try:
        report: dict[str, Any] = json.loads(folder.report.read_bytes())
    except (OSError, ValueError):
        return None
    return report


def _finish_harvest(context: Context, result: Result) -> None:
    quiesce(context, result)
    failure, result.failure = result.failure, None
    attempt(context, result, lambda: _remember(context, result))  # before the home goes with the work folder; nobody writes it any more

    def harvest() -> None:
        result.harvest, result.delivery = bring_out(context, None)

    attempt(context, result, harvest)
    result.failure = result.failure or failure


def _remember(context: Context, result: Result) -> None:
    """The agent's own session, by which it can go on. The killed process may have kept a part of it."""
    result.agent = remembered(context, keep_sessions(context))


def _plan(folder: RunFolder, state: JournalState) -> Plan | None:
    """The run's plan; None when it was killed before there was one, that is, before anything else was.

    Raises:
        AienvError: there was one, and it cannot be read now: then nothing of the run may be removed.
    """
    try:
        return from_plain(Plan, json.loads(folder.plan.read_bytes()))
    except FileNotFoundError:
        if not state.begun and not any(folder.work.glob("workspace/*")):
            return None
        problem = "it is missing"
    except (OSError, ValueError) as cause:
        problem = str(cause)
    raise AienvError(
        f"the plan {folder.plan} cannot be read: {problem}",
        remedy=f"if another version of aienv made it, use that one; the workspace is {folder.work / 'workspace'}",
        code="plan",
    )


def _context(paths: Paths, folder: RunFolder, plan: Plan, state: JournalState, environ: Mapping[str, str], progress: Progress) -> Context:
    make = maker(paths.work, paths.cache, engine_of(plan, environ), progress.say)
    journal = Journal(folder.journal, folder.reserve)
    recorder = LogRecorder(AuditLog(folder.audit, folder.id))
    context = Context(paths, folder, plan, digest(plan), journal, recorder, Faults({}), progress, make(plan.backend), make)
    facts = state.facts.get(Step.WORKSPACE, {})
    context.harvest_time = state.facts.get(Step.HARVEST, {}).get("at")
    if Step.WORKSPACE in state.ended and folder.workspace(plan.repo.name).is_dir():
        context.workspace = from_plain(Workspace, facts["_workspace"])
        for place in (folder.outbox, folder.control):
            place.mkdir(exist_ok=True, mode=0o700)
    return context


def engine_of(plan: Plan, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The variables with which a run's own engine is found, whichever is in use now."""
    return environ if plan.guard is None else {**environ, "DOCKER_HOST": plan.guard.daemon}


def _outcome(state: JournalState) -> Outcome | None:
    if Step.AGENT not in state.ended:
        return None
    facts = state.facts[Step.AGENT]
    return Outcome(facts["exit_code"], None, facts["reason"], facts["duration_s"])


def _results(state: JournalState, step: Step) -> tuple[CheckResult, ...]:
    if step not in state.ended:
        return ()
    return tuple(CheckResult(command, code, 0.0, "") for command, code in state.facts[step].get("results", ()))


def _verified(state: JournalState) -> tuple[Verified, ...]:
    if Step.VERIFY not in state.ended:
        return ()
    results = state.facts[Step.VERIFY].get("results", ())
    return tuple(Verified(command, code, 0.0, "", run, status) for command, code, run, status in results)


def _verdict(plan: Plan, state: JournalState, result: Result) -> AienvError | None:
    """None when the agent and its checks had their end; else the run counts as interrupted."""
    if result.outcome is None:
        return Interrupted("aienv was killed before the agent ended", remedy="what the agent had done was harvested; run the task again")
    if result.outcome.reason == "lost":
        return EnvironmentFailed("the environment ended while the agent worked", remedy="run the task again", code="environment-lost")
    if plan.checks and Step.CHECKS not in state.ended and result.outcome.reason == "exited":
        return Interrupted("aienv was killed before the checks ended", remedy="run the task again")
    if plan.verify and Step.VERIFY not in state.ended and result.outcome.reason == "exited":
        return Interrupted("aienv was killed before the result was verified", remedy="run the task again")
    return None


def forget(paths: Paths, folder: RunFolder) -> None:
    """Remove a finished run's folder and whatever else bears its id."""
    if folder.work.exists():
        remove_work(folder.work)
    if folder.run.exists():
        trees.remove(folder.run)
    folder.mark.unlink(missing_ok=True)
