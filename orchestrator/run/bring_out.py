"""Bringing the result out: sandboxed git writes it, the host checks it, the user's repository gets it.

The same functions serve the run and its recovery, so each can be repeated: what a killed attempt left is overwritten.
"""

import shutil
import time
from pathlib import Path

from orchestrator.backends.protocol import Environment, EnvironmentRequest, Folders, Role
from orchestrator.errors import AienvError, HarvestFailed
from orchestrator.harvest.deliver import deliver, push
from orchestrator.harvest.receive import make_readable, read_manifest, receive
from orchestrator.harvest.request import HarvestRequest, config_bytes
from orchestrator.model.codec import to_plain
from orchestrator.model.plan import Plan
from orchestrator.model.record import Delivery, Harvest
from orchestrator.report.text import plural
from orchestrator.run.commands import START_S, harvest_request
from orchestrator.run.context import Context, Workspace
from orchestrator.run.docker import has_containers, take_back
from orchestrator.run.masked import still_hidden
from orchestrator.run.output import TailSink
from orchestrator.run.steps import Step
from orchestrator.run.teardown import end_environment
from orchestrator.sandbox.argv import OBJECTS, OUTBOX

OPEN_DEADLINE_S = 60.0
HARVEST_DEADLINE_S = 1800.0


def environment_request(context: Context, role: Role) -> EnvironmentRequest:
    """The environment's description, from the plan and what the clone turned out to need."""
    plan, folder = context.plan, context.folder
    objects = tuple((name, Path(path)) for name, path in context.workspace.objects) if context.workspace else ()
    return EnvironmentRequest(
        run_id=folder.id,
        role=role,
        workspace=plan.workspace,
        folders=Folders(
            folder.workspace(plan.repo.name),
            objects,
            folder.outbox,
            folder.control,
            folder.home if plan.keeps_home and role == "task" else None,
        ),
        image=plan.image,
        uid=plan.uid,
        gid=plan.gid,
        limits=plan.limits,
        labels={"dev.aienv.task": plan.task, "dev.aienv.plan": context.plan_digest},
        expose=plan.sandbox.expose,
        deadline_s=OPEN_DEADLINE_S,
        mounts=plan.agent.mounts if role == "task" else (),
    )


def bring_out(context: Context, environment: Environment | None) -> tuple[Harvest, Delivery]:
    """Harvest, check, deliver. ``environment``: a place whose launcher still answers; None: one is made for it.

    Raises:
        HarvestFailed: the work could not be brought out; it still lies in the workspace.
    """
    try:
        with context.docker.still():  # what containers write later is no result, as with checks
            if (problem := take_back(context.plan, context.folder, context.paths.cache)) is not None:
                context.notes.append(problem)
            _harvest(context, environment)
        harvest = _receive(context)
        delivery = _deliver(context, harvest)
    except HarvestFailed:
        raise
    except (AienvError, OSError) as problem:
        remedy = problem.remedy if isinstance(problem, AienvError) else "see the message, then: aienv gc"
        raise HarvestFailed(f"the result could not be brought out: {problem}", remedy=remedy) from problem
    return harvest, delivery


def _harvest(context: Context, environment: Environment | None) -> None:
    context.harvest_time = context.harvest_time or int(time.time())
    with context.step(Step.HARVEST, "harvesting", at=context.harvest_time) as learned:
        _empty(context.folder.outbox)
        if environment is not None and not environment.launcher.lost.is_set():
            code, said = _run_readable(context, environment)
            if code == 0:
                return
            context.notes.append(f"the first harvest attempt ended with {code}: {said}")
            end_environment(context, [], [])
        learned["again"] = True
        _empty(context.folder.outbox)
        code, said = _in_new_environment(context)
        if code != 0:
            remedy = f"the workspace is kept: aienv show {context.folder.id}"
            raise HarvestFailed(f"the harvest program ended with {code}: {said}", remedy=remedy)


def _in_new_environment(context: Context) -> tuple[int | None, str]:
    """The run's own place is gone: make one for the harvest alone, with the run's backend or else the local sandbox."""
    from orchestrator.backends.select import harvester

    backend = harvester(context.plan.backend, context.make_backend)
    request = environment_request(context, "harvest")
    environment = backend.open(request)
    try:
        return _run_readable(context, environment)
    finally:
        environment.launcher.close()
        backend.destroy(environment.ref)


def _run_readable(context: Context, environment: Environment) -> tuple[int | None, str]:
    """The harvest; once more when the agent closed some of its own files (mode 000), after they were opened."""
    code, said = _run_program(context, environment)
    if code == 0 and (unreadable := read_manifest(context.folder.outbox).unreadable):
        make_readable(context.folder.workspace(context.plan.repo.name))
        context.notes.append(f"{plural(len(unreadable), 'unreadable path')} opened for the harvest")
        _empty(context.folder.outbox)
        code, said = _run_program(context, environment)
    return code, said


def _run_program(context: Context, environment: Environment) -> tuple[int | None, str]:
    config = config_bytes(_request(context, environment))
    sink = TailSink(context.folder.run / "harvest.log", context.plan.limits.output_bytes)
    process = environment.launcher.run(harvest_request(context, environment, config), sink)
    ended = process.wait(HARVEST_DEADLINE_S) if process.wait_started(START_S) else None
    sink.close()
    if ended is None:
        process.kill()
        return None, "the launcher did not start it, or it did not end in time"
    said = ended.failure or sink.tail.decode("utf-8", "backslashreplace").strip()[-400:]
    return ended.code, said or (environment.describe_end() if ended.lost else "it said nothing")


def _request(context: Context, environment: Environment) -> HarvestRequest:
    plan, workspace = context.plan, _workspace(context)
    env = dict(plan.env)
    return HarvestRequest(
        workspace=plan.workspace,
        outbox=OUTBOX,
        base=plan.repo.commit,
        objects=tuple(f"{OBJECTS}/{name}" for name, _ in workspace.objects),
        run_id=context.folder.id,
        task=plan.task,
        time=context.harvest_time or 0,
        masked=still_hidden(context.folder.workspace(plan.repo.name), workspace.masks, workspace.masked, has_containers(plan)),
        artifacts=plan.artifacts,
        known_refs=workspace.refs,
        shallow=workspace.shallow,
        lfs=workspace.lfs,
        git=environment.launcher.facts.git,
        author=(env["GIT_AUTHOR_NAME"], env["GIT_AUTHOR_EMAIL"]),
    )


def _workspace(context: Context) -> Workspace:
    if context.workspace is None:
        raise HarvestFailed("there is no workspace to harvest")
    return context.workspace


def _receive(context: Context) -> Harvest:
    with context.step(Step.RECEIVE, "checking the result") as learned:
        folder = context.folder
        shutil.rmtree(folder.quarantine, ignore_errors=True)
        workspace = _workspace(context)
        harvest = receive(
            folder.outbox,
            folder.run,
            folder.quarantine,
            run_id=folder.id,
            base=context.plan.repo.commit,
            objects=[Path(path) for _, path in workspace.objects],
            known_refs=workspace.refs,
            shallow=workspace.shallow,
        )
        context.notes.extend(harvest.notes)
        learned |= {"commit": harvest.commit, "files": len(harvest.changed_files), "_harvest": to_plain(harvest)}
    return harvest


def _deliver(context: Context, harvest: Harvest) -> Delivery:
    plan, folder = context.plan, context.folder
    remote = plan.repo.kind != "path"
    with context.step(Step.DELIVER, "" if remote else "delivering the branch") as learned:
        if remote:
            delivery = Delivery(None, (), False, "the repository is remote: the result is a bundle in the run's folder")
        else:
            delivery = deliver(harvest, folder.run, folder.quarantine, Path(plan.repo.location), folder.id, branch_name(plan, folder.id))
        learned |= {"branch": delivery.branch, "refs": list(delivery.refs), "_delivery": to_plain(delivery)}
    return delivery


def branch_name(plan: Plan, run_id: str) -> str:
    return plan.output.branch or f"aienv/{plan.task}-{run_id}"


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


__all__ = ["bring_out", "environment_request", "push"]
