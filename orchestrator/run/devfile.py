"""The devcontainer.json of a commit: where it is, of which kind, which files of the commit its build reads.

A checkout is never looked at, and no path in it leads out of the repository, whatever its variables say.
"""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from orchestrator.devcontainer import load, locate
from orchestrator.devcontainer.features import lockfile
from orchestrator.devcontainer.images import dockerfile as recipes
from orchestrator.devcontainer.images.dockerfile import Recipe
from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.variables import Local as Known
from orchestrator.devcontainer.variables import local_pass, substitute
from orchestrator.errors import BackendUnavailable, ConfigError, NotFound, PolicyRefused
from orchestrator.model.task import SandboxRules
from orchestrator.repos import mirror as mirrors
from orchestrator.repos.gitcmd import git
from orchestrator.repos.mirror import Mirror
from orchestrator.run import devcontainer_terms as terms

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Source:
    """The base commit. ``location``: of the repository, as plans have it; ``workspace``: where its clone will be; ``hidden``: which files
    of it nobody inside may see."""

    mirror: Mirror
    commit: str
    location: str
    workspace: str
    hidden: SandboxRules


@dataclass(frozen=True, slots=True)
class Devfile:
    """A devcontainer.json of the commit. ``raw``: as written, nothing replaced."""

    path: str
    raw: Object
    warnings: tuple[str, ...]

    @property
    def folder(self) -> str:
        return posixpath.dirname(self.path)

    @property
    def kind(self) -> Literal["image", "dockerfile", "compose"]:
        if "dockerComposeFile" in self.raw:
            return "compose"
        build = self.raw.get("build")
        name = build.get("dockerfile") if isinstance(build, dict) else None
        return "image" if self.raw.get("dockerFile", name) is None else "dockerfile"


def find(source: Source, asked: str) -> Devfile | None:
    """The file that ``asked`` names: a path, a folder with one in it, or ``auto``. None: nobody wrote one in the usual places.

    Raises:
        NotFound: there is no such file in the base commit. ConfigError: there are several, or it cannot be understood.
        BackendUnavailable: it is of a kind that a run does not make.
    """
    path = _usual(source) if asked == AUTO else _named(source, asked)
    if path is None:
        return None
    data = mirrors.read_file(source.mirror, source.commit, path)
    raw, warnings = load.read(data or b"", path)
    found = Devfile(path, raw, warnings)
    if found.kind == "compose":
        raise BackendUnavailable(
            f"{path} takes its container from compose files, and a run starts no services of its own accord",
            remedy="name an image with --image; the agent can start the services itself (docs/docker.md), and aienv up starts all of them",
            code="not-available",
        )
    return found


def _usual(source: Source) -> str | None:
    there = mirrors.which(source.mirror, source.commit, locate.USUAL)
    for name in locate.USUAL:
        if name in there:
            return name
    try:
        below = mirrors.list_files(source.mirror, source.commit, locate.FOLDER)
    except NotFound:
        return None
    others = [name for name in below if name.count("/") == 2 and posixpath.basename(name) == locate.NAME]
    if len(others) > 1:
        listed = ", ".join(others[: locate.MAX_FOLDERS])
        raise ConfigError(f"the repository has several dev containers: {listed}", remedy=f"choose one: --devcontainer {others[0]}")
    return others[0] if others else None


def _named(source: Source, asked: str) -> str:
    path = posixpath.normpath(asked)
    candidates = (path, f"{path}/{locate.NAME}")
    there = mirrors.which(source.mirror, source.commit, candidates)
    for name in candidates:
        if name in there:
            return name
    raise NotFound(
        f"there is no {asked!r} in the base commit {source.commit[:12]}",
        remedy="commit it, or correct --devcontainer; 'auto' looks in the usual places",
    )


def places(devfile: Devfile, source: Source) -> tuple[str, ...]:
    """What of the commit a build needs: the configuration's folder, the local features, and of a Dockerfile its context.

    Raises:
        PolicyRefused: one leads out of the repository.
    """
    found = {devfile.path, str(lockfile.path_beside(Path(devfile.path))), locate.FOLDER}
    if devfile.kind == "dockerfile":
        recipe = recipe_of(devfile, source)
        found |= {_inside(recipe.dockerfile, source, "the Dockerfile"), _inside(recipe.context, source, "the build's context")}
    return tuple("" if place == "." else place for place in sorted(found))


def recipe_of(devfile: Devfile, source: Source) -> Recipe:
    """Its paths as they are in the clone. They depend on no variable of this machine, granted or not."""
    config = cast(Object, substitute(devfile.raw, local_pass(known(devfile, source, {}))))
    found = recipes.recipe(config, posixpath.join(source.workspace, devfile.folder))
    assert found is not None
    return found


def _inside(path: str, source: Source, what: str) -> str:
    """Below the repository."""
    place = posixpath.relpath(path, source.workspace)
    if place == ".." or place.startswith("../"):
        raise PolicyRefused(
            f"devcontainer.json: {what} {path!r} is not in the repository, and nothing else of this machine is built from",
            remedy="move it into the repository, or build it yourself and use --image",
        )
    return place


def known(devfile: Devfile, source: Source, environ: Mapping[str, str]) -> Known:
    """A run has no folder on this machine that counts: both names mean the clone inside."""
    first = Known(environ, source.workspace, source.workspace, devfile.path)
    folder, _ = terms.place_of(cast(Object, substitute(devfile.raw, local_pass(first))), source.workspace)
    return replace(first, container_workspace=folder)


def within(devfile: Devfile, source: Source, folder: Path) -> Object:
    """The file with absolute paths of its Dockerfile and context, in ``folder``."""
    if devfile.kind != "dockerfile":
        return devfile.raw
    found = recipe_of(devfile, source)
    build = devfile.raw.get("build")
    table: Object = dict(build) if isinstance(build, dict) else {}
    table["dockerfile"] = str(folder / _inside(found.dockerfile, source, "the Dockerfile"))
    table["context"] = str(folder / _inside(found.context, source, "the build's context"))
    return {**{key: value for key, value in devfile.raw.items() if key not in ("dockerFile", "context")}, "build": table}


def is_folder(source: Source, folder: str) -> bool:
    """Whether the commit has a folder there; ``folder``: as it is in the clone."""
    below = posixpath.relpath(folder, source.workspace)
    asked = git(("cat-file", "-t", f"{source.commit}:{below}"), git_dir=source.mirror.git_dir, check=False)
    return asked.code == 0 and asked.text == "tree"
