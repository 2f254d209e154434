"""``aienv gc``: finish interrupted runs, remove strays, and free space by age and size."""

import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from orchestrator.agents import install
from orchestrator.backends.protocol import Backend, EnvRef
from orchestrator.backends.select import maker
from orchestrator.config.node import word
from orchestrator.config.values import BadValue, duration, size
from orchestrator.errors import AienvError, UsageError
from orchestrator.model.paths import Paths
from orchestrator.model.plan import BackendName
from orchestrator.recovery.recover import sweep
from orchestrator.recovery.remove import remove_run
from orchestrator.report.progress import Progress
from orchestrator.repos import cache
from orchestrator.repos.scratch import sweep_temporary
from orchestrator.run import folder as folders
from orchestrator.run.docker import GUARD_FOLDER
from orchestrator.run.listing import RunRow, rows
from orchestrator.run.teardown import remove_work

DOCKER_S = 30.0
IN_USE_S = 86400.0  # a run that began less than this ago may still hold its agent's program
BACKENDS: tuple[BackendName, ...] = ("local", "docker")


@dataclass(slots=True)
class Collected:
    """What was (or would be) done. ``freed_bytes`` counts run folders."""

    finished: list[str] = field(default_factory=list)
    environments: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    caches: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    freed_bytes: int = 0


def collect(
    paths: Paths,
    environ: Mapping[str, str],
    older_than_s: float,
    keep_bytes: int | None,
    caches: bool,
    dry_run: bool,
    quiet: bool,
) -> Collected:
    """All of it, in the order in which one thing frees the next."""
    done = Collected()
    _finish(paths, environ, dry_run, quiet, done)
    _remove_strays(paths, environ, dry_run, done)
    for row in too_many(list(rows(paths)), time.time(), older_than_s, keep_bytes):
        done.folders.append(f"run {row.id}")
        done.freed_bytes += row.size_bytes
        if not dry_run:
            _try(done, partial(remove_run, paths, folders.run_folder(paths, row.id), environ, discard=False))
    if caches and not dry_run:
        done.caches += [f"mirror {key}" for key in cache.sweep(paths.mirrors, _is_live(paths), unused_s=older_than_s, now=time.time())]
        done.caches += [f"agent {name}" for name in install.sweep(paths.cache, max(older_than_s, IN_USE_S))]
    return done


def too_many(all_rows: Iterable[RunRow], now_s: float, older_than_s: float, keep_bytes: int | None) -> list[RunRow]:
    """Which finished runs go: the old ones, then the oldest until the rest fits. Pure."""
    finished = sorted((row for row in all_rows if row.state == "finished"), key=lambda row: row.created)
    going = [row for row in finished if now_s - row.created > older_than_s]
    rest = finished[len(going) :]
    if keep_bytes is None:
        return going
    total = sum(row.size_bytes for row in rest)
    while rest and total > keep_bytes:
        total -= rest[0].size_bytes
        going.append(rest.pop(0))
    return going


def parse_age(text: str) -> float:
    """``30d``, ``12h``: seconds.

    Raises:
        UsageError: not a time.
    """
    days = text.removesuffix("d")
    if days != text and days.isdigit():
        return int(days) * 86400.0
    try:
        return float(str(duration(0, 10 * 365 * 86400)(word(text))))
    except BadValue as problem:
        raise UsageError(f"{text!r} is not a time: {problem}", remedy="write it like 30d, 12h or 90m") from problem


def parse_size(text: str) -> int:
    try:
        return int(str(size(0)(word(text))))
    except BadValue as problem:
        raise UsageError(f"{text!r} is not a size: {problem}", remedy="write it like 20g or 500m") from problem


def _finish(paths: Paths, environ: Mapping[str, str], dry_run: bool, quiet: bool, done: Collected) -> None:
    abandoned = [run_id for run_id in folders.active_ids(paths) if not folders.is_owned(folders.run_folder(paths, run_id))]
    if dry_run:
        done.finished += abandoned
        return
    sweep(paths, environ, Progress(quiet), retry=True)
    still = {run_id for run_id in folders.active_ids(paths) if not folders.is_owned(folders.run_folder(paths, run_id))}
    done.finished += [run_id for run_id in abandoned if run_id not in still]
    unfinished = [row for row in rows(paths) if row.id in still and row.state != "kept"]
    done.problems += [f"run {row.id} is {row.state}: {row.workspace or row.folder}" for row in unfinished]


def _remove_strays(paths: Paths, environ: Mapping[str, str], dry_run: bool, done: Collected) -> None:
    """Environments and work folders of runs that are over. An environment whose run we do not know is somebody else's."""
    make = maker(paths.work, paths.cache, environ, lambda text: None)
    # First what exists, then which runs are active: a run that starts meanwhile marks itself before it makes anything.
    found = [(name, ref) for name in BACKENDS for ref in _survey(make(name))]
    places = sorted(paths.work.iterdir()) if paths.work.is_dir() else []
    ours, active = set(folders.all_ids(paths)), set(folders.active_ids(paths))
    for name, ref in found:
        if ref.run_id in ours - active:
            done.environments.append(f"{name} environment {ref.run_id}")
            if not dry_run:
                _try(done, partial(make(name).destroy, ref))
    for place in places:
        if place.name not in active:
            done.environments.append(f"work folder {place.name}")
            if not dry_run:
                _try(done, partial(remove_work, place))
    _remove_docker_strays(paths, environ, dry_run, done, ours - active)
    done.environments += [f"temporary folder {name}" for name in sweep_temporary(paths, dry_run=dry_run)]
    for unborn in paths.active.glob(".*") if paths.active.is_dir() else ():
        if time.time() - unborn.stat().st_mtime > 60 and not dry_run:
            unborn.unlink(missing_ok=True)


def _remove_docker_strays(paths: Paths, environ: Mapping[str, str], dry_run: bool, done: Collected, over: set[str]) -> None:
    """What guards left in the engine that is in use now: those of runs that are over, and those that stood alone and were killed."""
    from orchestrator.backends.docker_endpoint import find_endpoint
    from orchestrator.guard import alone
    from orchestrator.guard.daemon import parse_address
    from orchestrator.guard.sweep import sessions, sweep

    if not dry_run:
        done.problems += alone.finish_abandoned(paths, lambda text: done.environments.append(text.removeprefix("removing ")))
    try:
        address = find_endpoint(None, environ).address
        parse_address(address)
    except (AienvError, ValueError):
        return  # an engine that no guard stands before
    for session in sessions(address, DOCKER_S):
        if session in over:
            done.environments.append(f"docker guard {session}")
            if not dry_run:
                done.problems += sweep(address, session, paths.work / session / GUARD_FOLDER, DOCKER_S)[1]


def _survey(backend: Backend) -> list[EnvRef]:
    try:
        return list(backend.survey())
    except AienvError:
        return []  # no such backend here: then nothing of it is here either


def _is_live(paths: Paths) -> Callable[[str], bool]:
    active = set(folders.active_ids(paths))
    return lambda run_id: run_id in active


def _try(done: Collected, act: Callable[[], object]) -> None:
    try:
        act()
    except (AienvError, OSError, shutil.Error) as problem:
        done.problems.append(str(problem))
