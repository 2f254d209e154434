"""Removing everything of a run but its folder. Each part is content with finding nothing."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from orchestrator import trees
from orchestrator.backends.protocol import EnvRef, Role
from orchestrator.errors import AienvError
from orchestrator.model.record import Teardown
from orchestrator.repos import mirror as mirrors
from orchestrator.run.context import Context
from orchestrator.run.docker import GUARD_FOLDER, NoDocker, guard_folder, take_back
from orchestrator.run.steps import Step

ROLES: tuple[Role, ...] = ("task", "harvest")
DESTROY_S = 10.0  # a restarting engine is back by then
SECOND_DESTROY_S = 1.0  # one that did not answer the first time is not waited for again


def tear_down(context: Context, keep_work: bool) -> Teardown:
    """End the environment, remove the work folder (unless ``keep_work``), release the mirror. What fails is listed as left."""
    removed: list[str] = []
    left: list[str] = []
    with context.step(Step.TEARDOWN, "removing the environment") as learned:
        end_environment(context, removed, left)
        if not keep_work and not left:
            if (problem := take_back(context.plan, context.folder, context.paths.cache)) is not None:
                context.notes.append(problem)
            _attempt("work folder", lambda: _remove_work(context.folder.work), removed, left)
            mirrors.release(context.paths.mirrors, context.folder.id)
        learned |= {"removed": removed, "left": left}
    return Teardown(tuple(removed), tuple(left))


def end_environment(context: Context, removed: list[str], left: list[str]) -> None:
    """No process and no container of this run is alive afterwards; idempotent."""
    if context.environment is not None:
        context.environment.launcher.close()
        context.environment = None
    _end_docker(context, removed, left)  # what the agent made mounts the workspace, and may keep its container's network
    for role in ROLES:
        ref = EnvRef(context.folder.id, role, context.plan.backend, None)
        patience = SECOND_DESTROY_S if left else DESTROY_S
        _attempt(f"{context.plan.backend} environment ({role})", partial(context.backend.destroy, ref, patience), removed, left)
    if context.plan.backend != "local":
        # A harvest may have fallen back to the local sandbox.
        local = context.make_backend("local")
        for role in ROLES:
            _attempt("local environment", partial(local.destroy, EnvRef(context.folder.id, role, "local", None)), removed, left)


def _end_docker(context: Context, removed: list[str], left: list[str]) -> None:
    """By the guard itself; by its labels where nobody is left who was the guard, and where it could not remove all."""
    guard = context.plan.guard
    if guard is None:
        return
    from orchestrator.guard.sweep import sweep

    session, context.docker = context.docker, NoDocker()
    ended = session.close()
    if ended is None or ended[1]:
        patience = DESTROY_S if ended is None else SECOND_DESTROY_S
        swept = sweep(guard.daemon, context.folder.id, guard_folder(context.folder), patience)
        ended = ((*(ended[0] if ended else ()), *swept[0]), swept[1])
    removed.extend(ended[0])
    left.extend(ended[1])


def _attempt(what: str, act: Callable[[], tuple[str, ...]], removed: list[str], left: list[str]) -> None:
    try:
        removed.extend(act())
    except (AienvError, OSError) as problem:
        left.append(f"{what}: {problem}")


def _remove_work(work: Path) -> tuple[str, ...]:
    if not work.exists():
        return ()
    remove_work(work)
    return ("work folder",)


def remove_work(work: Path) -> None:
    """A run's work folder. A guard that was killed leaves mounts of the workspace below its own: they are no copies."""
    if (work / GUARD_FOLDER).exists():
        from orchestrator.guard.pins import unmount_below

        unmount_below(work)
    trees.remove(work)
