"""The main path. A plan goes in, a record comes out, and nothing of the run is left but its folder.

folder -> broker -> workspace and environment, side by side -> agent -> harvest -> deliver -> checks -> verify -> teardown -> report
"""

import json
import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from orchestrator.agents.hookconfig import HooksConfig
from orchestrator.backends.protocol import Environment
from orchestrator.broker.client import Broker
from orchestrator.egress.config import SshConfig
from orchestrator.egress.standins import BoundSecret
from orchestrator.egress.summary import network_use
from orchestrator.errors import AienvError, EnvironmentFailed, HarvestFailed, Interrupted
from orchestrator.model.codec import canonical_json, digest
from orchestrator.model.guard import NO_DOCKER_USE, DockerUse
from orchestrator.model.network import NetworkUse
from orchestrator.model.paths import Paths
from orchestrator.model.plan import Plan
from orchestrator.model.record import AgentRecord, CheckResult, Delivery, Harvest, Outcome, Status, Teardown, Verified
from orchestrator.model.report import AuditFacts, ErrorFacts, RunRecord
from orchestrator.report.build import report_document, status_of
from orchestrator.report.progress import Progress
from orchestrator.repos.mirror import Mirror, take_ref
from orchestrator.run import folder as folders
from orchestrator.run.agent_files import furnish, keep_sessions
from orchestrator.run.agent_hooks import open_hooks
from orchestrator.run.agent_work import Streams, described, open_agent
from orchestrator.run.bounded_log import join_parts
from orchestrator.run.bring_out import bring_out, environment_request, push
from orchestrator.run.commands import run_agent, run_shell
from orchestrator.run.context import Context
from orchestrator.run.docker import open_docker
from orchestrator.run.egress import fetch_secrets, find_ssh, open_network
from orchestrator.run.faults import Faults
from orchestrator.run.files import write_atomically
from orchestrator.run.hooks import failed, fill_home, run_hook
from orchestrator.run.interrupts import Interrupts
from orchestrator.run.journal import Journal
from orchestrator.run.planning import Prepared
from orchestrator.run.steps import Step
from orchestrator.run.teardown import end_environment, tear_down
from orchestrator.run.terminal import terminal
from orchestrator.run.verify import TAIL_BYTES, passed, tip, unverified, verification_plan, verified
from orchestrator.run.workspace import prepare_workspace

NOWHERE = Streams(2, 2, quiet=True, tty=False)


@dataclass(slots=True)
class Result:
    """What a run has come to so far. ``failure`` is the first thing of ours that went wrong. ``has_work``: something may have been written
    that must be brought out before it is removed."""

    outcome: Outcome | None = None
    harvest: Harvest | None = None
    delivery: Delivery | None = None
    agent: AgentRecord | None = None
    setup: tuple[CheckResult, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    verify: tuple[Verified, ...] = ()
    failure: AienvError | None = None
    workspace_kept: bool = False
    has_work: bool = False
    teardown: Teardown = field(default_factory=lambda: Teardown((), ()))


def execute(prepared: Prepared, paths: Paths, environ: Mapping[str, str], progress: Progress, streams: Streams, run_id: str) -> RunRecord:
    """Carry the plan out. Always gives a record, whatever fails on the way, once the run's folder exists.

    Raises:
        AienvError: a credential cannot be had, or the run's folder could not be made; nothing else was.
    """
    folder = folders.run_folder(paths, run_id)
    interrupts = Interrupts()
    with interrupts.installed(), ExitStack() as undo:
        with interrupts.abortable():  # a command that gives a credential may wait for something
            secrets, ssh = fetch_secrets(prepared.plan, environ), find_ssh(prepared.plan, environ)
        lock = folders.create(folder)
        undo.callback(lock.release)
        write_atomically(folder.plan, canonical_json(prepared.plan) + b"\n")
        faults = Faults(environ)
        faults.parts |= {"AIENV_RUN": run_id, "AIENV_WORKSPACE": str(folder.workspace(prepared.plan.repo.name))}
        journal = Journal(folder.journal, folder.reserve)
        journal.begin(Step.FOLDER, plan=prepared.plan_digest)
        faults.reach(Step.FOLDER, "begin")
        progress.say(f"run {run_id}: {prepared.plan.task} on {prepared.plan.backend} ({prepared.plan.isolation})")
        journal.end(Step.FOLDER)
        faults.reach(Step.FOLDER, "end")
        broker = _start_broker(journal, faults, folder, interrupts, parts_of(prepared.plan))
        plan, backend, make = prepared.plan, prepared.backend, prepared.make_backend
        context = Context(paths, folder, plan, prepared.plan_digest, journal, broker, faults, progress, backend, make)
        if plan.devcontainer is not None:
            context.notes.extend(f"{plan.devcontainer.path}: {note}" for note in plan.devcontainer.notes)
        result = Result()
        broker.event(
            "run.start", {"plan": prepared.plan_digest, "backend": dict(prepared.facts.details), "version": prepared.facts.version}
        )
        attempt(context, result, lambda: _prepare(context, prepared, broker, (secrets, ssh), environ, interrupts))
        if result.failure is None:
            result.has_work = context.plan.verifies is None
            attempt(context, result, lambda: _set_up(context, result, interrupts))
            if result.failure is None:
                attempt(context, result, lambda: _work(context, result, interrupts, streams))
            if result.has_work:
                attempt(context, result, lambda: _bring_out(context, result))
            attempt(context, result, lambda: _check(context, result, interrupts))
            attempt(context, result, lambda: _verify(context, result, prepared, environ, interrupts))
            attempt(context, result, lambda: _push(context, result))
        return finish(context, result, lock, recovered=False)


def finish(context: Context, result: Result, lock: folders.RunLock, recovered: bool) -> RunRecord:
    """Tear down, seal, report: the end of every run, recovered or not."""
    if result.has_work and (result.harvest is None or not result.harvest.complete):
        result.workspace_kept = True  # whatever went wrong: what was not brought out is not removed
    keep = result.workspace_kept or context.plan.keep
    context.folder.reserve.unlink(missing_ok=True)
    join_parts(context.folder.agent_log)  # a killed run's log still lies in parts
    attempt(context, result, lambda: setattr(result, "teardown", tear_down(context, keep)))
    context.journal.begin(Step.REPORT)
    context.faults.reach(Step.REPORT, "begin")
    status = status_from(result)
    context.recorder.event("run.end", {"status": status, "left": list(result.teardown.left), "kept": keep})
    head = context.recorder.close()
    record = _record(context, result, status, AuditFacts(str(context.folder.audit), head.hash, head.events), recovered)
    write_atomically(context.folder.report, json.dumps(report_document(record), indent=1, sort_keys=True).encode() + b"\n")
    context.journal.end(Step.REPORT)
    context.faults.reach(Step.REPORT, "end")
    if not result.teardown.left and not keep:
        context.journal.close()
        lock.finish(context.folder)
    return record


def status_from(result: Result) -> Status:
    if isinstance(result.failure, Interrupted):
        return "interrupted"
    if result.failure is not None:
        return "refused" if result.failure.exit_code == 4 else "error"
    return status_of(result.outcome, all(check.exit_code == 0 for check in result.checks) and passed(result.verify))


def attempt(context: Context, result: Result, act: Callable[[], None]) -> None:
    """Run one stage; the first failure is kept, and the stages after it know."""
    try:
        act()
    except AienvError as problem:
        result.failure = result.failure or problem
    except Exception as problem:  # noqa: BLE001 - the rim's outermost loop: harvest and teardown must still happen
        trace = context.folder.run / "crash.txt"
        trace.write_text(traceback.format_exc())
        message = f"unexpected {type(problem).__name__}: {problem}"
        result.failure = result.failure or AienvError(message, remedy=f"please report this, with {trace}", code="internal")


def parts_of(plan: Plan) -> tuple[str, ...]:
    """What the broker will need for this run."""
    return (
        *(("egress",) if plan.network.mode != "none" else ()),
        *(("guard",) if plan.guard is not None else ()),
        *(("hooks",) if plan.agent.deny is not None else ()),
    )


def _start_broker(
    journal: Journal, faults: Faults, folder: folders.RunFolder, interrupts: Interrupts, parts: tuple[str, ...]
) -> Broker:
    journal.begin(Step.BROKER)
    faults.reach(Step.BROKER, "begin")
    broker = Broker(folder.id, folder.run, on_lost=lambda: interrupts.inbox.put("broker-lost"))
    broker.prepare(*parts)
    faults.parts["AIENV_PID_BROKER"] = str(broker.pid)
    journal.end(Step.BROKER, pid=broker.pid)
    faults.reach(Step.BROKER, "end")
    return broker


def _prepare(
    context: Context,
    prepared: Prepared,
    broker: Broker,
    credentials: tuple[Sequence[BoundSecret], SshConfig | None],
    environ: Mapping[str, str],
    interrupts: Interrupts,
) -> None:
    """Workspace and environment, while the broker starts and makes the way out ready."""
    with interrupts.abortable():
        _make_folders(context, credentials[0])
        context.network = open_network(context.plan, context.folder.id, *credentials, broker, environ)
        prepare_workspace(context, prepared.mirror, prepared.changes)
        _open_environment(context)
        context.docker = open_docker(context.plan, context.folder, context.paths.cache, _container(context), broker, context.progress)
        broker.ready()
        context.network.settle()
        if context.plan.guard is not None:
            broker.await_guard()
        context.hooks = open_hooks(_hooks_config(context.plan), broker)


def _hooks_config(plan: Plan) -> HooksConfig | None:
    agent = plan.agent
    return HooksConfig(agent.profile, agent.settings, agent.deny) if agent.deny is not None else None


def _container(context: Context) -> str | None:
    """The agent's, where there is one."""
    return context.environment.ref.native_id if context.environment is not None and context.plan.backend == "docker" else None


def _make_folders(context: Context, secrets: Sequence[BoundSecret]) -> None:
    folder, plan = context.folder, context.plan
    folder.workspace(plan.repo.name).mkdir(parents=True, exist_ok=True)
    for place in (folder.outbox, folder.control, *((folder.home,) if plan.keeps_home else ())):
        place.mkdir(exist_ok=True, mode=0o700)
        if os.geteuid() == 0:
            os.chown(place, plan.uid, plan.gid)
    if plan.agent.keeps_home:
        furnish(context, secrets)


def _open_environment(context: Context) -> None:
    with context.step(Step.ENVIRONMENT, f"starting the environment ({context.plan.backend})") as learned:
        context.environment = context.backend.open(environment_request(context, "task"))
        native = context.environment.ref.native_id or ""
        context.faults.parts["AIENV_PID_LAUNCHER"] = str(context.environment.launcher.pid)
        context.faults.parts["AIENV_CONTAINER"] = native
        learned |= {"native_id": native}


def _set_up(context: Context, result: Result, interrupts: Interrupts) -> None:
    """A dev container's hooks, then the task's own preparations, one after the other; the first that fails ends the run."""
    plan, devcontainer = context.plan, context.plan.devcontainer
    if not plan.setup and devcontainer is None:
        return
    with context.step(Step.SETUP, "") as learned:
        if devcontainer is not None:
            fill_home(context, _environment(context), devcontainer, interrupts)
            for hook in devcontainer.hooks:
                context.progress.say(f"running {hook.words}")
                done = run_hook(context, _environment(context), devcontainer, hook, len(result.setup) + 1, interrupts)
                _take_setup(context, result, hook.words, done, interrupts)
        for command in plan.setup:
            context.progress.say(f"setting up: {command}")
            done = run_shell(context, _environment(context), "setup", len(result.setup) + 1, command, interrupts)
            _take_setup(context, result, f"setup command {command!r}", done, interrupts)
        learned |= {"results": _codes(result.setup)}


def _take_setup(context: Context, result: Result, what: str, done: CheckResult, interrupts: Interrupts) -> None:
    result.setup = (*result.setup, done)
    if interrupts.count:
        raise Interrupted("interrupted during the setup")
    if done.exit_code != 0:
        raise failed(what, done, str(context.folder.run / "setup" / f"{len(result.setup)}.log"))


def _work(context: Context, result: Result, interrupts: Interrupts, streams: Streams) -> None:
    """The agent, with our terminal where it is wanted."""
    environment = _environment(context)
    agent = open_agent(context, streams, interrupts)
    try:
        with terminal(streams.tty) as term:
            outcome = run_agent(context, environment, interrupts, agent.sink, term, agent.watch)
        result.outcome, result.agent = agent.finish(outcome)
    finally:
        agent.close()
    result.agent = replace(result.agent, sessions=keep_sessions(context))
    if result.outcome.reason == "lost":
        broker_lost = getattr(context.recorder, "lost", False)
        why = "the broker was killed" if broker_lost else environment.describe_end()
        message = f"the environment ended while the agent worked: {why}"
        raise EnvironmentFailed(message, remedy="its work was harvested; run the task again", code="environment-lost")


def _environment(context: Context) -> Environment:
    if context.environment is None:
        raise EnvironmentFailed("there is no environment")
    return context.environment


def _bring_out(context: Context, result: Result) -> None:
    if result.outcome is None or result.outcome.exit_code is None:
        quiesce(context, result)  # lost, or mute: a frozen place would go on later, side by side with the harvest
    try:
        result.harvest, result.delivery = bring_out(context, context.environment)
    except HarvestFailed:
        result.workspace_kept = True
        raise


def quiesce(context: Context, result: Result) -> None:
    """End a place whose launcher is gone or no longer answers: nobody may write while the harvest reads.

    What cannot be ended (its engine is down) may go on writing; then the workspace is kept, and harvested again when it is over.
    """
    removed: list[str] = []
    left: list[str] = []
    end_environment(context, removed, left)
    if left:
        result.workspace_kept = True
        context.notes.append(f"harvested while something of the run may still be alive ({', '.join(left)}): aienv gc harvests again")


def _check(context: Context, result: Result, interrupts: Interrupts) -> None:
    """Checks run after the harvest: what they write is not the agent's work."""
    exited = result.outcome is not None and result.outcome.reason == "exited"
    if not context.plan.checks or not exited or result.failure is not None:
        return
    with context.step(Step.CHECKS, "") as learned:
        results = []
        for number, command in enumerate(context.plan.checks, start=1):
            context.progress.say(f"checking: {command}")
            results.append(run_shell(context, _environment(context), "check", number, command, interrupts))
            result.checks = tuple(results)
        learned |= {"results": _codes(results)}
    if interrupts.count:
        raise Interrupted("interrupted while the checks ran")


def _verify(context: Context, result: Result, prepared: Prepared, environ: Mapping[str, str], interrupts: Interrupts) -> None:
    """The result alone, each command in a run of its own: a record, a broker and a recovery of its own, and nothing of this run's place."""
    plan, harvest = context.plan, result.harvest
    exited = result.outcome is not None and result.outcome.reason == "exited"
    if not plan.verify or not exited or result.failure is not None or harvest is None:
        return
    with context.step(Step.VERIFY, "") as learned:
        if (ref := tip(harvest)) is not None:
            _take_result(prepared.mirror, context.folder.quarantine, ref, harvest)
        for command in plan.verify:
            context.progress.say(f"verifying: {command}")
            result.verify = (*result.verify, _verify_by(context, prepared, environ, harvest.commit, command))
            if interrupts.count:
                raise Interrupted("interrupted during the verification")
        learned |= {"results": [[one.command, one.exit_code, one.run, one.status] for one in result.verify]}


def _take_result(mirror: Mirror, quarantine: Path, ref: str, harvest: Harvest) -> None:
    """What the host has checked, and nothing else of the run's, joins what clones are made from."""
    if take_ref(mirror, quarantine, ref) != harvest.commit:
        raise EnvironmentFailed("the result could not be taken for its verification", remedy="its branch is whole: verify it there")


def _verify_by(context: Context, prepared: Prepared, environ: Mapping[str, str], commit: str | None, command: str) -> Verified:
    plan = verification_plan(context.plan, context.folder.id, commit, command)
    clean = replace(prepared, plan=plan, plan_digest=digest(plan), changes=None)
    run_id = folders.new_run_id(time.time())
    try:
        record = execute(clean, context.paths, environ, Progress(quiet=True), NOWHERE, run_id)
    except Interrupted:
        raise
    except AienvError as problem:
        raise unverified(command, problem.message, problem.remedy) from problem
    return verified(command, record, _tail(folders.run_folder(context.paths, run_id).agent_log))


def _tail(log: Path) -> str:
    if not log.exists():  # it never came to a command
        return ""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        return file.read(TAIL_BYTES).decode("utf-8", "backslashreplace")


def _codes(results: Sequence[CheckResult]) -> list[list[object]]:
    return [[one.command, one.exit_code] for one in results]


def _push(context: Context, result: Result) -> None:
    plan = context.plan
    if not plan.output.push or result.harvest is None or result.failure is not None:
        return
    if status_from(result) != "succeeded":
        context.notes.append("not pushed: the run did not succeed")
        return
    context.progress.say("pushing the branch")
    result.delivery = push(result.harvest, result.delivery, context.plan, context.folder)


def _network_use(context: Context) -> NetworkUse:
    """From the event log, which is the same for a run and for its recovery."""
    with context.folder.audit.open("rb") as lines:
        return network_use(lines)


def _docker_use(context: Context) -> DockerUse:
    """From the event log, too; most runs are without Docker."""
    if context.plan.guard is None:
        return NO_DOCKER_USE
    from orchestrator.guard.usage import docker_use

    with context.folder.audit.open("rb") as lines:
        return docker_use(lines)


def _record(context: Context, result: Result, status: Status, audit: AuditFacts, recovered: bool) -> RunRecord:
    plan, failure = context.plan, result.failure
    keep = result.workspace_kept or plan.keep
    if keep:
        context.notes.append("the kept workspace is as the agent left it, git settings included: run no git in it outside of a sandbox")
    return RunRecord(
        id=context.folder.id,
        task=plan.task,
        status=status,
        backend=plan.backend,
        isolation=plan.isolation,
        plan_digest=context.plan_digest,
        repo=plan.repo.location,
        base_commit=plan.repo.commit,
        docker_mode=plan.docker,
        network_mode=plan.network.mode,
        network=_network_use(context),
        docker=_docker_use(context),
        outcome=result.outcome,
        harvest=result.harvest,
        delivery=result.delivery,
        setup=result.setup,
        checks=result.checks,
        audit=audit,
        timings=context.progress.total(),
        teardown=result.teardown,
        error=ErrorFacts(failure.code, failure.message, failure.remedy, failure.exit_code) if failure else None,
        unlimited=plan.unlimited,
        notes=tuple(dict.fromkeys(context.notes)),
        kept=str(context.folder.workspace(plan.repo.name)) if keep else None,
        recovered=recovered,
        folder=str(context.folder.run),
        verify=result.verify,
        verifies=plan.verifies,
        agent=result.agent or described(plan.agent),
    )
