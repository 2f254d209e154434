"""From what was asked to a plan: the last place where anything is looked up."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator import policy
from orchestrator.backends.protocol import Backend, BackendFacts
from orchestrator.backends.select import Chosen, choose, maker
from orchestrator.config.load import Loaded, load_user_side, merge
from orchestrator.errors import BackendUnavailable, NotFound
from orchestrator.model.agent import Native
from orchestrator.model.codec import digest
from orchestrator.model.guard import GuardPlan
from orchestrator.model.network import AGENT_ORIGIN
from orchestrator.model.paths import Paths
from orchestrator.model.plan import BackendName, Plan
from orchestrator.model.task import EnvironmentChoice, TaskSpec
from orchestrator.report.progress import Progress
from orchestrator.repos import mirror as mirrors
from orchestrator.repos.changes import capture
from orchestrator.repos.changeset import ChangeSet
from orchestrator.repos.gitcmd import git
from orchestrator.repos.local import git_dir_of
from orchestrator.repos.mirror import Mirror
from orchestrator.repos.resolve import Resolved, resolve
from orchestrator.repos.source import parse_source
from orchestrator.run.agent import Around, choose_agent, hook_python, installer, plan_agent
from orchestrator.run.interrupts import Interrupts
from orchestrator.run.netplan import choose_network
from orchestrator.sandbox.argv import USER
from orchestrator.sandbox.seccomp import filter_digest

if TYPE_CHECKING:
    from orchestrator.guard.launch import EngineView
    from orchestrator.run.devcontainer import Taken
    from orchestrator.run.devfile import Devfile, Source

_TASK_FOLDER = ".aienv/tasks"
_NO_ONE = ("aienv agent", "agent@aienv.invalid")
WITHOUT = "run without the repository's dev container: --devcontainer none"
CONTAINER_UID = 1000  # when the user is root: the first ordinary user, which most images have


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan, and the open handles that the run goes on with. ``loaded``: None where the plan was made elsewhere."""

    plan: Plan
    plan_digest: str
    loaded: Loaded | None
    mirror: Mirror
    changes: ChangeSet | None
    backend: Backend
    make_backend: Callable[[BackendName], Backend]
    facts: BackendFacts
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line, as far as a plan depends on it. ``native``: the agent's own session that it goes on with."""

    task: str | None
    command: tuple[str, ...]
    flags: Mapping[str, object]
    cwd: Path
    native: Native | None = None


def prepare(asked: Asked, paths: Paths, environ: Mapping[str, str], progress: Progress) -> Prepared:
    """Resolve everything, check it against the policy, and give the plan.

    Raises:
        ConfigError, UsageError, NotFound, PolicyRefused, BackendUnavailable, EnvironmentFailed.
    """
    user_side = load_user_side(paths, environ, asked.flags, asked.task, asked.command, asked.cwd)
    with progress.phase("resolve", ""):
        source = parse_source(user_side.repo or ".", asked.cwd)
        found = resolve(paths.mirrors, source, user_side.ref)
    loaded = merge(user_side, lambda path: _read(found, path), lambda: _task_names(found))
    policy.refuse(loaded.violations)
    task = loaded.task
    refuse_what_is_not_there(task)
    chosen_agent = choose_agent(task, loaded.settings, environ, found.location if found.kind == "path" else None)
    task = chosen_agent.task
    devcontainer = _Devcontainer.of(task, found)
    with progress.phase("backend", ""):
        make = maker(paths.work, paths.cache, environ, progress.say)
        needs_image = task.environment.kind == "image" or devcontainer is not None
        try:
            chosen = choose(task.backend, task.require_isolation, needs_image, make)
        except BackendUnavailable as problem:
            if devcontainer is not None:
                problem.remedy = f"{problem.remedy}; or {WITHOUT}" if problem.remedy else WITHOUT
            raise
        if devcontainer is None:
            image = chosen.backend.resolve_image(_image(task.environment, chosen.facts.name))
    taken = None
    if devcontainer is not None:
        signals = Interrupts()
        with progress.phase("devcontainer", ""), signals.installed(), signals.abortable():  # a build may take long, and leaves nothing then
            taken = devcontainer.take(task, chosen.backend, paths, environ, progress)
            image, task = taken.image, with_docker(task, taken.wants_docker)
    brought = tuple((rule, f"{AGENT_ORIGIN}{task.agent}") for rule in chosen_agent.hosts)
    chosen_network = choose_network(task, environ, Path(environ.get("HOME") or "/nonexistent"), asked.cwd, brought)
    changes = capture(source) if task.with_changes else None
    uid, gid = _user(chosen.facts.name)
    guard = _guard(task, found, chosen, make, Path(environ.get("HOME") or "/nonexistent"))
    name = chosen.facts.name
    user = taken.plan.user if taken is not None else USER
    workspace = f"/workspaces/{found.name}"
    install = installer(paths, environ, progress, name)
    around = Around(name, chosen_network.network, guard, user, workspace, hook_python(name), install)
    agent, agent_notes = plan_agent(replace(chosen_agent, task=task), around, asked.native)
    plan = Plan(
        schema="aienv.plan/1",
        task=task.name,
        repo=found.plan(changes=changes.plan() if changes else None, submodules=task.submodules, lfs=task.lfs),
        agent=agent,
        backend=name,
        isolation=chosen.facts.capabilities.isolation,
        image=image,
        uid=uid,
        gid=gid,
        workspace=workspace,
        docker=guard.mode if guard is not None else "none",
        network=chosen_network.network,
        secrets=chosen_network.secrets,
        env=_environment(task, found, environ),
        limits=task.limits,
        unlimited=chosen.facts.capabilities.unlimited,
        sandbox=task.sandbox,
        seccomp=filter_digest(platform.machine()),
        setup=task.setup,
        checks=task.checks,
        artifacts=task.artifacts,
        output=task.output,
        keep=task.keep,
        require_isolation=task.require_isolation,
        guard=guard,
        devcontainer=taken.plan if taken is not None else None,
        verify=task.work.verify,
    )
    policy.refuse(policy.violations(plan, loaded.settings))
    noticed = (*loaded.warnings, *agent_notes, *chosen_network.warnings, *(guard.warnings if guard is not None else ()))
    if taken is not None:
        if taken.wants_docker and task.docker in ("none", "readonly"):
            noticed = (*noticed, f"{taken.plan.path} asks for Docker, and docker is {task.docker}: --docker guarded gives a guard's socket")
        noticed = (*noticed, *taken.warnings, *(f"devcontainer: {note}" for note in taken.plan.notes))
    warnings = (*noticed, *found.warnings, *(changes.warnings if changes else ()), *_fallback(chosen.passed_over))
    return Prepared(plan, digest(plan), loaded, found.mirror, changes, chosen.backend, make, chosen.facts, warnings)


def taken_up(
    plan: Plan, plan_digest: str, mirror: Mirror, changes: ChangeSet | None, paths: Paths, environ: Mapping[str, str]
) -> Prepared:
    """A plan that was made, and judged, by another process of ours.

    Raises:
        BackendUnavailable: what it was made for does not answer any more.
    """
    make = maker(paths.work, paths.cache, environ, lambda text: None)
    backend = make(plan.backend)
    return Prepared(plan, plan_digest, None, mirror, changes, backend, make, backend.check(), ())


def refuse_what_is_not_there(task: TaskSpec) -> None:
    """What a task may ask for and this version cannot give is refused: less than asked would be a silent surprise.

    Raises:
        BackendUnavailable: names it, and the way out.
    """
    if task.environment.kind == "template":
        raise BackendUnavailable(
            "this version of aienv has no environment.template",
            remedy="leave it out; a prepared --image or the repository's devcontainer.json can hold what the task needs",
            code="not-available",
        )


def with_docker(task: TaskSpec, wanted: bool) -> TaskSpec:
    """A dev container with one of the Docker features is a reason for containers, as a compose file is."""
    return replace(task, docker="guarded") if wanted and task.docker == "auto" else task


@dataclass(frozen=True, slots=True)
class _Devcontainer:
    """The devcontainer.json that a task asked for, and what reads it: only then is any of that imported."""

    source: "Source"
    file: "Devfile"

    @classmethod
    def of(cls, task: TaskSpec, found: Resolved) -> "_Devcontainer | None":
        """None: nobody asked for one, or there is none in the usual places.

        Raises:
            NotFound, ConfigError, BackendUnavailable: see ``devcontainer.find``.
        """
        if task.environment.kind != "devcontainer" or task.environment.value == "none" or found.commit is None:
            return None
        from orchestrator.run.devfile import Source, find

        source = Source(found.mirror, found.commit, found.location, f"/workspaces/{found.name}", task.sandbox)
        file = find(source, task.environment.value)
        if file is not None and task.backend == "local":
            raise BackendUnavailable(
                f"{file.path} describes a container, and the local backend has no container",
                remedy=f"choose --backend docker, or {WITHOUT}",
                code="contradiction",
            )
        return None if file is None else cls(source, file)

    def take(self, task: TaskSpec, backend: Backend, paths: Paths, environ: Mapping[str, str], progress: Progress) -> "Taken":
        from orchestrator.backends.docker import DockerBackend
        from orchestrator.devcontainer.policy.grants import Grants
        from orchestrator.run.devbuild import Side
        from orchestrator.run.devcontainer import take

        assert isinstance(backend, DockerBackend)
        side = Side(backend, paths.cache, environ, Grants.of(task.grants), task.limits, task.grants, progress)
        return take(self.source, self.file, side)


def _image(choice: EnvironmentChoice, backend: BackendName) -> str | None:
    return choice.value if choice.kind == "image" else None


def _guard(
    task: TaskSpec, found: Resolved, chosen: Chosen, make: Callable[[BackendName], Backend], home: Path
) -> GuardPlan | None:
    """What stands before the Docker engine inside.

    Raises:
        BackendUnavailable: Docker was asked for, and there is no engine for it.
    """
    local = chosen.facts.name == "local"
    if task.docker == "none" or (local and task.docker == "auto"):
        return None
    from orchestrator.guard.launch import NO_TREE, Asked, Tree, plan_guard

    project = found.location if found.kind == "path" else None
    asked = Asked(task.docker, task.guard, chosen.facts.name, dict(task.env), project, home)
    tree = NO_TREE
    if (commit := found.commit) is not None:
        mirror = found.mirror
        tree = Tree(lambda paths: mirrors.which(mirror, commit, paths), lambda path: mirrors.read_file(mirror, commit, path))
    return plan_guard(asked, tree, lambda: _engine_view(task.docker, chosen, make))


def _engine_view(mode: str, chosen: Chosen, make: Callable[[BackendName], Backend]) -> "EngineView":
    from orchestrator.backends.docker import DockerBackend
    from orchestrator.guard.launch import EngineView

    backend, facts = chosen.backend, chosen.facts
    if facts.name == "local":
        backend = make("docker")
        try:
            facts = backend.check()
        except BackendUnavailable as problem:
            raise BackendUnavailable(
                f"docker mode {mode!r} needs an engine: {problem.message}",
                remedy="start Docker, set DOCKER_HOST, or --docker none",
                code=problem.code,
            ) from problem
    assert isinstance(backend, DockerBackend)
    engine = backend.engine
    major, _, minor = dict(facts.details)["api"].partition(".")
    return EngineView(engine.endpoint.address, engine.endpoint.tls is not None, (int(major), int(minor)), engine.image_id)


def _user(backend: BackendName) -> tuple[int, int]:
    uid, gid = os.getuid(), os.getgid()
    if backend == "local":
        from orchestrator.backends.local import agent_user

        return agent_user(uid, gid)
    # A group of its own where the user's is root's: files of group 0 may be writable in an image.
    return (uid, gid or CONTAINER_UID) if uid != 0 else (CONTAINER_UID, CONTAINER_UID)


def _read(found: Resolved, path: str) -> bytes | None:
    return mirrors.read_file(found.mirror, found.commit, path) if found.commit else None


def _task_names(found: Resolved) -> Sequence[str]:
    if found.commit is None:
        return ()
    try:
        files = mirrors.list_files(found.mirror, found.commit, _TASK_FOLDER)
    except NotFound:
        return ()
    return tuple(sorted(Path(file).stem for file in files if file.endswith((".yaml", ".yml"))))


def _environment(task: TaskSpec, found: Resolved, environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The task's variables, and who the commits are by: the user, as the user's own git says."""
    name, email = _identity(found, environ)
    ours = {"GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": email, "GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": email}
    return tuple(sorted({**ours, **dict(task.env)}.items()))


def _identity(found: Resolved, environ: Mapping[str, str]) -> tuple[str, str]:
    folder = Path(found.location) if found.kind == "path" else None
    bare = git_dir_of(folder) if folder else None
    said = git(("config", "--get-regexp", r"^user\.(name|email)$"), cwd=folder, git_dir=bare, check=False, trusted=True).text
    values = dict(line.split(" ", 1) for line in said.splitlines() if " " in line)
    name = environ.get("GIT_AUTHOR_NAME") or values.get("user.name") or _NO_ONE[0]
    return name, environ.get("GIT_AUTHOR_EMAIL") or values.get("user.email") or _NO_ONE[1]


def _fallback(passed_over: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"no container: {reason}; the task runs under bubblewrap on this host" for reason in passed_over)
