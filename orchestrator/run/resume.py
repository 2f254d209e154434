"""A run that goes on where the agent of an earlier one stopped: the same plan on top of its result. Nothing but that is decided anew."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from orchestrator.agents import own
from orchestrator.agents.catalog import PROFILES
from orchestrator.agents.start import Place, resumed
from orchestrator.errors import NotFound
from orchestrator.model.agent import Native
from orchestrator.model.codec import digest
from orchestrator.model.paths import Paths
from orchestrator.model.plan import Plan
from orchestrator.report.progress import Progress
from orchestrator.repos.resolve import resolve
from orchestrator.repos.source import parse_source
from orchestrator.run.agent import hook_python, installer
from orchestrator.run.planning import Prepared, taken_up
from orchestrator.sandbox.argv import USER


@dataclass(frozen=True, slots=True)
class Next:
    """``commit``: where the new run begins; None: the repository had none."""

    native: Native
    prompt: str | None
    tty: bool
    commit: str | None


def go_on(earlier: Plan, following: Next, paths: Paths, environ: Mapping[str, str], progress: Progress) -> Prepared:
    """The plan of the run that goes on.

    Raises:
        NotFound: the repository or the result is not there any more. UsageError: the agent cannot go on. BackendUnavailable,
        EnvironmentFailed: what the first run had cannot be had again.
    """
    with progress.phase("resolve", ""):
        found = resolve(paths.mirrors, parse_source(earlier.repo.location, paths.work), following.commit)
    if following.commit is not None and found.commit != following.commit:
        raise NotFound(f"the result {following.commit} is not in {earlier.repo.location} any more", remedy="run the task again: aienv run")
    profile = own.find(earlier.agent.profile, environ, PROFILES)
    program = installer(paths, environ, progress, earlier.backend)(profile)
    user = earlier.devcontainer.user if earlier.devcontainer is not None else USER
    python = hook_python(earlier.backend)
    place = Place(program.entry, program.mounts, program.version, program.digest, python, user.home, earlier.workspace)
    repo = found.plan(changes=None, submodules=earlier.repo.submodules, lfs=earlier.repo.lfs)
    plan = replace(
        earlier,
        repo=replace(repo, name=earlier.repo.name),
        agent=resumed(profile, earlier.agent, following.prompt, following.tty, following.native, place),
        output=replace(earlier.output, branch=None),  # the first run has that one
    )
    return taken_up(plan, digest(plan), found.mirror, None, paths, environ)
