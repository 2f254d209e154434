"""What a guard will let through, settled at launch: its mode, its images pinned by id, how mounts are held fast.

Read once: the base commit's compose files, Dockerfiles and devcontainer.json, the MCP files that the user named, and the engine. What the
agent changes later changes nothing. Files are data here: none is run, none is built.
"""

import os
import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.errors import BackendUnavailable
from orchestrator.guard.calls import Denied
from orchestrator.guard.daemon import parse_address
from orchestrator.guard.imagenames import canonical
from orchestrator.guard.images import OF_DEV_CONTAINERS
from orchestrator.guard.pins import choose_pinning
from orchestrator.guard.sources import MAX_JSON_BYTES, BadSource, Named, compose, devcontainer, dockerfiles, mcp
from orchestrator.model.guard import AllowedImage, GuardMode, GuardPlan, Pinning
from orchestrator.model.plan import BackendName
from orchestrator.model.task import DockerMode, GuardRules

COMPOSE_NAMES = (
    "compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml",
    "compose.override.yaml", "compose.override.yml", "docker-compose.override.yaml", "docker-compose.override.yml",
)  # fmt: skip
DEVCONTAINER_NAMES = (".devcontainer/devcontainer.json", ".devcontainer.json")
DOCKERFILE = "Dockerfile"
MAX_FILES, MAX_IMAGES = 64, 200
FULL_WARNING = "docker mode full: whoever reaches the engine's own socket is root on this machine, and nothing of theirs is removed"


@dataclass(frozen=True, slots=True)
class EngineView:
    """``tls``: it is reached with certificates. ``look``: reference -> id; None: not there."""

    address: str
    tls: bool
    api: tuple[int, int]
    look: Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Tree:
    """The base commit. ``which``: those of some paths that are regular files; ``read``: None for what is none."""

    which: Callable[[tuple[str, ...]], frozenset[str]]
    read: Callable[[str], bytes | None]


OWN_WARNING = "images below 'aienv-devcontainer/' are aienv's own, and not for a session"
NO_TREE = Tree(lambda paths: frozenset(), lambda path: None)


@dataclass(frozen=True, slots=True)
class Asked:
    """``variables``: those that compose inside will see. ``project``: the user's own folder, for MCP files with a part per folder.

    ``secrets``: whether what may be mounted has masked files with something in them: not so where they are emptied themselves.
    """

    docker: DockerMode
    rules: GuardRules
    backend: BackendName
    variables: Mapping[str, str]
    project: str | None
    home: Path
    secrets: bool = False


@dataclass(slots=True)
class Found:
    """What the files said. ``images``: reference -> origin, the first that said so."""

    images: dict[str, str] = field(default_factory=dict)
    services: list[str] = field(default_factory=list)
    compose: list[str] = field(default_factory=list)
    mcp: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    read: set[str] = field(default_factory=set)

    def allow(self, images: Iterable[Named], origin: str) -> None:
        for one in images:
            if one.reference.startswith(OF_DEV_CONTAINERS):
                self.warn([f"{one.origin}: {OWN_WARNING}"])
            elif len(self.images) < MAX_IMAGES:
                self.images.setdefault(one.reference, origin)

    def warn(self, warnings: Iterable[str]) -> None:
        self.warnings += [one for one in warnings if one not in self.warnings]


def choose_mode(asked: DockerMode, backend: BackendName, wants_docker: bool) -> GuardMode | None:
    """``wants_docker``: there are compose files, or Docker servers in the operator's MCP files. None: no socket inside. Pure."""
    if asked == "none" or (asked == "auto" and backend == "local"):
        return None  # on this machine itself an engine is a way around the sandbox, so it is asked for
    if asked == "auto":
        return "guarded" if wants_docker else "readonly"
    return asked


def plan_guard(asked: Asked, tree: Tree, engine: Callable[[], EngineView]) -> GuardPlan | None:
    """The guard of a run; None: there is none. ``engine`` is asked only where there is one.

    Raises:
        BackendUnavailable: the engine cannot be had, or no guard can stand before it.
    """
    if choose_mode(asked.docker, asked.backend, True) is None:
        return None
    view = engine()
    if problem := _unsuitable(view):
        if asked.docker == "auto":
            return None
        raise BackendUnavailable(problem, remedy="set DOCKER_HOST to the engine's unix:// socket, or --docker none", code="guard-engine")
    found = Found()
    there = _look_around(asked, tree, found) if asked.docker in ("auto", "guarded") else frozenset[str]()
    mode = choose_mode(asked.docker, asked.backend, bool(found.compose or found.mcp))
    if mode == "guarded":
        _read_rest(asked, tree, there, found)
        return settled(asked, found, view, _pinning(asked, view))
    assert mode is not None
    warnings = (FULL_WARNING,) if mode == "full" else ()
    return GuardPlan(mode, view.address, view.api, (), (), (), (), asked.rules.limits, "whole", None, False, warnings)


def settled(asked: Asked, found: Found, view: EngineView, pinning: Pinning) -> GuardPlan:
    """Mode guarded, with every image looked up once."""
    images = tuple(AllowedImage(name, view.look(name), origin) for name, origin in sorted(found.images.items()))
    return GuardPlan(
        mode="guarded",
        daemon=view.address,
        api=view.api,
        images=images,
        services=tuple(dict.fromkeys(found.services)),
        compose=tuple(found.compose),
        mcp=tuple(found.mcp),
        limits=asked.rules.limits,
        pinning=pinning,
        cgroup_parent=None,
        learn=asked.rules.learn,
        warnings=tuple(found.warnings),
    )


def _unsuitable(view: EngineView) -> str | None:
    if view.tls:
        return f"the Docker engine at {view.address} is reached with certificates, and the guard speaks to none that way"
    try:
        parse_address(view.address)
    except ValueError as problem:
        return str(problem)
    return None


def _pinning(asked: Asked, view: EngineView) -> Pinning:
    found = choose_pinning(view.api, view.address, euid=os.geteuid(), secrets=asked.secrets)
    if asked.secrets and found != "descriptor":
        return "whole"  # within a volume the engine follows links: a part without secrets would become one that has some, unmasked
    # There is no container to suspend around a local sandbox.
    return "whole" if found == "freeze" and asked.backend == "local" else found


# --- what the files say --------------------------------------------------------------------------------------------------------


def _look_around(asked: Asked, tree: Tree, found: Found) -> frozenset[str]:
    """As much as decides about the mode; which of the usual files there are."""
    wanted = asked.rules.compose or COMPOSE_NAMES
    there = tree.which((*wanted, *DEVCONTAINER_NAMES, DOCKERFILE))
    for name in wanted:
        if name in there:
            found.compose.append(name)
        elif asked.rules.compose:
            found.warn([f"guard.compose: {name!r} is not in the base commit"])
    for name in asked.rules.mcp:
        _read_mcp(asked, name, found)
    return there


def _read_mcp(asked: Asked, name: str, found: Found) -> None:
    path = asked.home / name[2:] if name.startswith("~/") else Path(name)
    try:
        with path.open("rb") as file:
            facts = mcp.images(file.read(MAX_JSON_BYTES + 1), name, asked.project)
    except (OSError, BadSource) as problem:
        found.warn([f"guard.mcp: {name}: {problem.strerror if isinstance(problem, OSError) else problem}"])
        return
    found.warn(facts.warnings)
    if facts.images:
        found.mcp.append(name)
        found.allow(facts.images, f"mcp {name}")


def _read_rest(asked: Asked, tree: Tree, there: frozenset[str], found: Found) -> None:
    """In mode guarded: what the user grants, and what the base commit's files name."""
    for text in asked.rules.images:
        try:
            if (name := canonical(text)).startswith(OF_DEV_CONTAINERS):
                found.warn([f"guard.images: {OWN_WARNING}"])
            else:
                found.images[name] = "guard.images"  # the user's word before a file's
        except Denied as problem:
            found.warn([f"guard.images: {problem.denial.reason}"])
    for name in tuple(found.compose):
        _read_compose(asked, tree, name, found)
    for name in DEVCONTAINER_NAMES:
        if name in there:
            _read_devcontainer(asked, tree, name, found)
    if DOCKERFILE in there:
        _read_dockerfile(tree, DOCKERFILE, {}, found)


def _read_compose(asked: Asked, tree: Tree, name: str, found: Found) -> None:
    data = _file(tree, name, found)
    if data is None:
        return
    try:
        facts = compose.images(data, asked.variables, name)
    except BadSource as problem:
        found.warn([f"{name}: {problem}"])
        return
    found.warn(facts.warnings)
    found.allow(facts.images, f"compose {name}")
    found.services += facts.services
    for build in facts.builds:
        if build.inline is not None:
            _take_dockerfile(build.inline.encode(), name, build.arguments, found)
        else:
            _read_dockerfile(tree, posixpath.join(posixpath.dirname(name), build.context, build.dockerfile), build.arguments, found)


def _read_devcontainer(asked: Asked, tree: Tree, name: str, found: Found) -> None:
    data = _file(tree, name, found)
    if data is None:
        return
    try:
        facts = devcontainer.facts(data, {}, name)
    except BadSource as problem:
        found.warn([f"{name}: {problem}"])
        return
    found.warn(facts.warnings)
    found.allow(facts.images, f"devcontainer {name}")
    folder = posixpath.dirname(name)
    for other in facts.compose_files:
        path = posixpath.normpath(posixpath.join(folder, other))
        if path not in found.compose:
            found.compose.append(path)
            _read_compose(asked, tree, path, found)
    if facts.build is not None:
        _read_dockerfile(tree, posixpath.join(folder, facts.build.dockerfile), facts.build.arguments, found)


def _read_dockerfile(tree: Tree, path: str, arguments: Mapping[str, str], found: Found) -> None:
    name = posixpath.normpath(path)
    data = _file(tree, name, found)
    if data is not None:
        _take_dockerfile(data, name, arguments, found)


def _take_dockerfile(data: bytes, name: str, arguments: Mapping[str, str], found: Found) -> None:
    try:
        facts = dockerfiles.images(data, name, arguments)
    except BadSource as problem:
        found.warn([f"{name}: {problem}"])
        return
    found.warn(facts.warnings)
    found.allow(facts.images, f"dockerfile {name}")


def _file(tree: Tree, name: str, found: Found) -> bytes | None:
    """A file of the base commit, once. What leads out of the repository is none."""
    if name in found.read or len(found.read) >= MAX_FILES:
        return None
    found.read.add(name)
    data = tree.read(name)
    if data is None:
        found.warn([f"{name}: not in the base commit"])
    return data
