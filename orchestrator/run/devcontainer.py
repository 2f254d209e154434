"""The environment that a repository's devcontainer.json describes, resolved before the plan: read from the base commit, judged, built.

A checkout is never looked at: what a commit holds nobody changes under our hands. What a build reads is written from the mirror into a
folder of ours. Its Dockerfile is judged and written anew as those of a guard are, and what it runs has no network, unless the user granted
that (docs/adr/0023).
"""

import contextlib
import os
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from orchestrator.backends.docker import DockerBackend
from orchestrator.devcontainer import ids, load, locate
from orchestrator.devcontainer.engine import Docker, Unasked
from orchestrator.devcontainer.features import lockfile
from orchestrator.devcontainer.features.feature import Feature, Local
from orchestrator.devcontainer.features.resolve import FeatureSet
from orchestrator.devcontainer.images import dockerfile as recipes
from orchestrator.devcontainer.images.building import BuildFailed
from orchestrator.devcontainer.images.dockerfile import Recipe
from orchestrator.devcontainer.images.image import Built, How, make_image
from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.load import Configuration
from orchestrator.devcontainer.locate import Place
from orchestrator.devcontainer.merge import merge
from orchestrator.devcontainer.policy import container, dockerfeatures, localenv
from orchestrator.devcontainer.policy.container import Entry, Final, WorkspaceGround
from orchestrator.devcontainer.policy.grants import NONE, Grants
from orchestrator.devcontainer.policy.verdict import refuse
from orchestrator.devcontainer.variables import Local as Known
from orchestrator.devcontainer.variables import id_pass, local_pass, substitute
from orchestrator.devcontainer.wanted import feature_cache, wanted_features
from orchestrator.devcontainer.workspace import Workspace
from orchestrator.errors import BackendUnavailable, ConfigError, EnvironmentFailed, NotFound, PolicyRefused
from orchestrator.guard.calls import Denied
from orchestrator.guard.dockerfile import judge_dockerfile, judge_triggers
from orchestrator.model.codec import digest
from orchestrator.model.devcontainer import DevcontainerPlan, FeaturePlan, UserPlan
from orchestrator.model.plan import ImagePlan
from orchestrator.model.task import SandboxRules
from orchestrator.report.progress import Progress
from orchestrator.repos import mirror as mirrors
from orchestrator.repos import tree
from orchestrator.repos.gitcmd import git
from orchestrator.repos.mirror import Mirror
from orchestrator.repos.scratch import scratch
from orchestrator.run import devcontainer_terms as terms
from orchestrator.run.exported import exported
from orchestrator.run.files import write_atomically

AUTO = "auto"
MAX_DOCKERFILE = 1 << 20
BUILD_S = 3600.0

_CHATTER = re.compile(r"\s*(--->|Removing intermediate|Successfully )")  # of the classic builder, about itself
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


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
        return "dockerfile" if "dockerFile" in self.raw or (isinstance(build, dict) and "dockerfile" in build) else "image"


@dataclass(frozen=True, slots=True)
class Taken:
    """``plan.notes`` are for the report; ``warnings`` for whoever plans."""

    image: ImagePlan
    plan: DevcontainerPlan
    wants_docker: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """The user's side: the engine, the caches, what variables there are, and the words that were granted."""

    backend: DockerBackend
    cache: Path
    environ: Mapping[str, str]
    grants: Grants
    words: tuple[str, ...]
    progress: Progress


# --- the file -----------------------------------------------------------------------------------------------------------------------


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


# --- all of it ----------------------------------------------------------------------------------------------------------------------


def take(source: Source, devfile: Devfile, side: Side) -> Taken:
    """Build what must be built, and settle what a run takes of the configuration.

    Raises:
        ConfigError: it says what makes no sense. PolicyRefused: it asks for what was not granted, or what a run never gives.
        EnvironmentFailed: an image or a feature cannot be had, or a build failed.
    """
    warnings: list[str] = list(devfile.warnings)
    places = _places(devfile, source)
    with exported(source.mirror.git_dir, source.commit, places, source.hidden) as (folder, notes), _docker(side, folder) as docker:
        configuration = _configuration(devfile, source, folder, side)
        own = [Entry("devcontainer.json", configuration.config)]
        _judge(own, configuration.config, source, side)  # the file alone, before anything is fetched for it
        features = _features(configuration, side, warnings.append)
        built = _built(devfile, configuration, features, docker, side)
        feature_plans = tuple(_feature_plan(one, folder, source) for one in (features.features if features else ()))
    image = side.backend.resolve_image(built.image)
    assert image is not None
    return _settled(source, devfile, side, configuration, built, image, feature_plans, (*notes, *dict.fromkeys(warnings)))


def _settled(
    source: Source,
    devfile: Devfile,
    side: Side,
    configuration: Configuration,
    built: Built,
    image: ImagePlan,
    features: tuple[FeaturePlan, ...],
    warnings: tuple[str, ...],
) -> Taken:
    """What the merged configuration comes to."""
    origins = built.origins
    asked = [Entry(origin, configuration.substituted(entry)) for entry, origin in zip(built.entries, origins, strict=True)]
    without_docker = dockerfeatures.satisfied(asked)
    final, said = _judge(without_docker.entries, configuration.config, source, side)
    entries = [one.values for one in without_docker.entries]
    merged = merge(configuration.config, entries)
    env, unset, env_notes = terms.environment(merged, final.env, image.env, localenv.visible(side.environ, side.grants))
    user, user_notes = _user(merged, final, built, image, side)
    folder, folder_notes = terms.place_of(configuration.config, source.workspace)
    if folder != source.workspace and not _is_folder(source, folder):
        folder, folder_notes = source.workspace, (f"workspaceFolder {folder!r} is not in the base commit",)
    unseen = localenv.notes(localenv.asked(devfile.raw, *built.entries), side.environ, side.grants)
    left = terms.left_out(final, merged, configuration.config, source.workspace)
    plan = DevcontainerPlan(
        path=devfile.path,
        digest=digest({"file": devfile.raw, "merged": {**merged, "build": None}}),  # build names a folder that is gone by now
        kind="image" if devfile.kind == "image" else "dockerfile",
        features=features,
        user=user,
        env=env,
        unset=unset,
        folder=folder,
        hooks=terms.hooks(entries, [one.origin for one in without_docker.entries]),
        granted=side.words,
        network=terms.build_network(side.grants),
        notes=tuple(dict.fromkeys((*said, *unseen, *without_docker.notes, *left, *user_notes, *folder_notes, *env_notes))),
    )
    return Taken(image, plan, without_docker.wants_docker, warnings)


def _judge(entries: Sequence[Entry], config: Object, source: Source, side: Side) -> tuple[Final, tuple[str, ...]]:
    ground = WorkspaceGround((source.workspace,))
    bare, granted = (container.judge(entries, config, ground, grants) for grants in (NONE, side.grants))
    refused, notes = terms.settle(bare.findings, granted.findings)
    refuse(refused)
    return granted.final, notes


def _is_folder(source: Source, folder: str) -> bool:
    below = posixpath.relpath(folder, source.workspace)
    asked = git(("cat-file", "-t", f"{source.commit}:{below}"), git_dir=source.mirror.git_dir, check=False)
    return asked.code == 0 and asked.text == "tree"


# --- what is read -------------------------------------------------------------------------------------------------------------------


def _places(devfile: Devfile, source: Source) -> tuple[str, ...]:
    """What of the commit a build needs: the configuration's folder, the local features, and of a Dockerfile its context.

    Raises:
        ConfigError: it leads out of the repository.
    """
    places = {devfile.path, str(lockfile.path_beside(Path(devfile.path))), locate.FOLDER}
    if devfile.kind == "dockerfile":
        found = _recipe(devfile, source)
        places |= {_inside(found.dockerfile, source, "the Dockerfile"), _inside(found.context, source, "the build's context")}
    return tuple("" if place == "." else place for place in sorted(places))


def _recipe(devfile: Devfile, source: Source) -> Recipe:
    """Its paths as they are in the clone. They depend on no variable of this machine, granted or not."""
    config = cast(Object, substitute(devfile.raw, local_pass(_known(devfile, source, {}))))
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


def _known(devfile: Devfile, source: Source, environ: Mapping[str, str]) -> Known:
    """A run has no folder on this machine that counts: both names mean the clone inside."""
    first = Known(environ, source.workspace, source.workspace, devfile.path)
    folder, _ = terms.place_of(cast(Object, substitute(devfile.raw, local_pass(first))), source.workspace)
    return replace(first, container_workspace=folder)


def _configuration(devfile: Devfile, source: Source, folder: Path, side: Side) -> Configuration:
    """With all variables that are known before a container is there; paths of the Dockerfile lead into ``folder``."""
    known = _known(devfile, source, localenv.visible(side.environ, side.grants))
    identity = ids.devcontainer_id(ids.default_labels(source.location, devfile.path))
    raw = _within(devfile, source, folder)
    start = Configuration(
        raw=raw,
        config=raw,
        passes=(),
        root=str(folder),
        place=Place(str(folder / devfile.path), "file"),
        workspace=Workspace(source.workspace, None),
    )
    return start.then(local_pass(known)).then(id_pass(identity))


def _within(devfile: Devfile, source: Source, folder: Path) -> Object:
    """The file with absolute paths of its Dockerfile and context, in ``folder``."""
    if devfile.kind != "dockerfile":
        return devfile.raw
    found = _recipe(devfile, source)
    build = devfile.raw.get("build")
    table: Object = dict(build) if isinstance(build, dict) else {}
    table["dockerfile"] = str(folder / _inside(found.dockerfile, source, "the Dockerfile"))
    table["context"] = str(folder / _inside(found.context, source, "the build's context"))
    return {**{key: value for key, value in devfile.raw.items() if key not in ("dockerFile", "context")}, "build": table}


def _features(configuration: Configuration, side: Side, warn: Callable[[str], None]) -> FeatureSet | None:
    if not configuration.config.get("features"):
        return None
    return wanted_features(configuration, {}, side.environ, side.cache / "features", warn)


def _feature_plan(feature: Feature, folder: Path, source: Source) -> FeaturePlan:
    if not isinstance(feature.source, Local):
        return FeaturePlan(feature.written, feature.source.digest)
    below = os.path.relpath(feature.source.place, folder)
    asked = git(("rev-parse", "--verify", "--quiet", f"{source.commit}:{below}"), git_dir=source.mirror.git_dir, check=False)
    return FeaturePlan(feature.written, f"git:{asked.text}")


# --- what is built ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Docker(Docker):
    """The ``docker`` command for the run's own engine. Images come as those of a run do."""

    backend: DockerBackend

    def image(self, name: str) -> Object:
        wanted = f"sha256:{name}" if _HEX.fullmatch(name) else name
        self.backend.resolve_image(wanted)
        return cast(Object, self.backend.engine.image(wanted))


@contextlib.contextmanager
def _docker(side: Side, folder: Path) -> Iterator[_Docker]:
    """Without the user's own settings: credentials are for pulling, which is done before; a proxy's address would be seen in the build."""
    endpoint = side.backend.engine.endpoint
    with scratch("docker") as home:
        environ = {
            **{name: side.environ[name] for name in ("PATH", "HOME", "SSH_AUTH_SOCK") if name in side.environ},
            "DOCKER_CONFIG": str(home),
            "DOCKER_HOST": endpoint.address,
        }
        if (tls := endpoint.tls) is not None:
            for name, file in (("ca.pem", tls.ca), ("cert.pem", tls.cert), ("key.pem", tls.key)):
                if file:
                    (home / name).symlink_to(file)
            environ |= {"DOCKER_CERT_PATH": str(home), "DOCKER_TLS_VERIFY" if tls.verify else "DOCKER_TLS": "1"}
        yield _Docker(environ, str(folder), lambda line: None, backend=side.backend)


def _built(devfile: Devfile, configuration: Configuration, features: FeatureSet | None, docker: _Docker, side: Side) -> Built:
    pinned = _judge_dockerfile(devfile, configuration, docker) if devfile.kind == "dockerfile" else {}
    network = terms.build_network(side.grants)
    how = How(
        cache=side.cache / "devcontainer",
        grants=side.grants,
        fetch=feature_cache(side.environ, side.cache / "features", side.progress.say),
        log=lambda line: side.progress.say(line) if not _CHATTER.match(line) else None,
        buildkit="never",  # it has frontends of the Dockerfile's choice, and caches that all builds share
        network="none" if network == "none" else None,
        deadline_s=BUILD_S,
    )
    try:
        built = make_image(configuration, features, docker, how)
    except Unasked as problem:
        raise BackendUnavailable(
            f"{devfile.path} needs an image to be built: {problem.message}",
            remedy="install the docker command, or build the image elsewhere and name it with --image",
            code=problem.code,
        ) from problem
    except BuildFailed as problem:
        if network != "none":
            raise
        way = f"what a build runs has no network unless you grant it: --grant {terms.BUILD_NETWORK}; or build it, and use --image"
        raise EnvironmentFailed(problem.message, remedy=way, code=problem.code) from problem
    return replace(built, origins=tuple(_HEX.sub(lambda match: pinned.get(match[0], match[0]), one) for one in built.origins))


def _judge_dockerfile(devfile: Devfile, configuration: Configuration, docker: _Docker) -> Mapping[str, str]:
    """The Dockerfile in our folder, as a guard would let it through: for the classic builder, its images by their ids, nothing fetched.

    Gives the names that stood there, by the digits that stand there now.
    """
    found = recipes.recipe(configuration.config, os.path.dirname(configuration.place.path if configuration.place else "/"))
    assert found is not None
    assert configuration.root is not None
    name = os.path.relpath(os.path.realpath(found.dockerfile), configuration.root)
    data = locate.read_file(os.path.join(configuration.root, name))
    if data is None or name.startswith("../"):
        raise NotFound(f"{devfile.path}: the base commit has no Dockerfile {name!r}", remedy="commit it, or correct build.dockerfile")
    triggers: dict[str, Sequence[str]] = {}
    names: dict[str, str] = {}

    def pinned(image: str) -> str | None:
        details = docker.image(image)
        config = details.get("Config")
        onbuild = config.get("OnBuild") if isinstance(config, dict) else None
        triggers[image] = [str(one) for one in onbuild] if isinstance(onbuild, list) else []
        names.setdefault(str(details["Id"]).removeprefix("sha256:"), image)
        return str(details["Id"])

    try:
        judged = judge_dockerfile(data, found.arguments, found.target or "", pinned)
        for one in triggers.values():
            judge_triggers(one)
    except Denied as problem:
        denial = problem.denial
        where = f" ({denial.field})" if denial.field else ""
        way = f"allowed: {denial.allowed}; or build" if denial.allowed else "build"
        remedy = f"{way} the image yourself, and name it with --image"
        raise PolicyRefused(f"{name}{where}: {denial.reason}", remedy=remedy, code="devcontainer-build") from None
    with tree.opened(Path(configuration.root)) as root:
        tree.write_file(root, os.fsencode(name), (judged.text,), executable=False, mtime_s=0.0)
    return names


# --- who --------------------------------------------------------------------------------------------------------------------------


def _user(merged: Object, final: Final, built: Built, image: ImagePlan, side: Side) -> tuple[UserPlan, tuple[str, ...]]:
    asked = [merged.get("remoteUser"), merged.get("containerUser"), final.user, built.user]
    name = next((one for one in asked if isinstance(one, str) and one), "")
    if name.partition(":")[0] in ("", "root", "0"):
        return terms.user_of(name, b"", explicit=name not in ("", built.user))
    user, notes = terms.user_of(name, _passwd(image.id, side), explicit=True)
    return replace(user, skeleton=_is_folder_in_image(image.id, user.home, side)), notes


def _passwd(image: str, side: Side) -> bytes:
    engine = side.backend.engine
    return _looked_up(image, "passwd", lambda container: engine.file_in(container, "/etc/passwd", terms.MAX_PASSWD) or b"", side)


def _is_folder_in_image(image: str, home: str, side: Side) -> bool:
    """A folder itself: through a link the image would choose which folder of its container a run's home begins as."""
    engine = side.backend.engine
    places = (posixpath.dirname(home), home)

    def look(container: str) -> bytes:
        return b"folder" if all(engine.is_folder_in(container, place) for place in places) else b""

    return bool(_looked_up(image, f"home-{posixpath.basename(home)}", look, side))


def _looked_up(image: str, name: str, look: Callable[[str], bytes], side: Side) -> bytes:
    """Something of an image's files; looked up once, since an id always means the same files."""
    kept = side.cache / "devcontainer" / "looked-up" / f"{image.removeprefix('sha256:')}-{name}"
    with contextlib.suppress(FileNotFoundError):
        return kept.read_bytes()
    with side.backend.engine.unstarted(image) as container:
        found = look(container)
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(kept, found)
    return found
