"""From a configuration to an image that a container can be made of.

    image                               as it is, or features on it
    Dockerfile  --docker build-->       as it is, or features on it
    features    --a context of ours-->  an image whose name is the digest of all that is in it: once made, it is only looked for
"""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast

from orchestrator.devcontainer import locate
from orchestrator.devcontainer.engine import PULL_S, Docker, image_labels
from orchestrator.devcontainer.features.feature import Local
from orchestrator.devcontainer.features.resolve import FOLDER, FeatureSet, Fetch, files_of
from orchestrator.devcontainer.images import building, context, dockerfile, layer, naming
from orchestrator.devcontainer.images.building import BuildFailed
from orchestrator.devcontainer.images.buildkit import needs_buildkit, syntax_line
from orchestrator.devcontainer.images.context import Part
from orchestrator.devcontainer.images.dockerfile import Recipe
from orchestrator.devcontainer.images.label import Label, label_of, label_words
from orchestrator.devcontainer.images.runner import Said
from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.devcontainer.load import Configuration
from orchestrator.devcontainer.merge import merge
from orchestrator.devcontainer.metadata import without
from orchestrator.devcontainer.policy import buildoptions
from orchestrator.devcontainer.policy.grants import Grants
from orchestrator.devcontainer.policy.verdict import Finding, WorkspaceGround, refuse
from orchestrator.devcontainer.readconfig import MACHINES
from orchestrator.devcontainer.stages import base_image, platform_arguments
from orchestrator.errors import AienvError, ConfigError, EnvironmentFailed

BUILD_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """``cache``: a folder of ours for what is temporary; ``fetch``: brings the files of features (``wanted.feature_cache``); ``log``: takes
    lines of output as they come; ``names``: of the user's own, to be tagged; ``labels``: to be added; ``labelled``: make an image with
    the label even where an image needs nothing else; ``cache_from``: besides the configuration's; ``deadline_s``: of one build;
    ``network``: of all RUN instructions (``docker build --network``), the features' too and whatever build.options say; None: the engine's
    default. ``aienv run`` builds with "none" unless more was granted. ``limits``: more such words, which the file's own
    do not outweigh. ``omit_remote_env``, ``omit_customizations``: leave the file's
    remoteEnv, features' customizations out of the label. ``stands_on``: is told what the engine says of an image before ours is built on
    it, and may raise: its ONBUILD triggers run in our build."""

    cache: Path
    grants: Grants
    fetch: Fetch
    log: Callable[[str], None]
    names: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    labelled: bool = False
    no_cache: bool = False
    pull: bool = False
    cache_from: tuple[str, ...] = ()
    cache_to: str | None = None
    platform: str | None = None
    buildkit: Literal["auto", "never"] = "auto"
    deadline_s: float = BUILD_S
    network: str | None = None
    limits: tuple[str, ...] = ()
    omit_remote_env: bool = False
    omit_customizations: bool = False
    stands_on: Callable[[Object], None] = lambda details: None

    @property
    def scratch(self) -> Path:
        return self.cache / "devcontainer-build"

    def options(self) -> tuple[str, ...]:
        """Words for every ``docker build``."""
        return (
            *(("--no-cache",) if self.no_cache else ()),
            *(("--platform", self.platform) if self.platform else ()),
            *(("--network", self.network) if self.network else ()),
            *self.limits,
        )


@dataclass(frozen=True, slots=True)
class Built:
    """``image``: what to run. ``entries``: of the label devcontainer.metadata, the weakest first, no variables replaced; ``origins``: who
    asked for each: "image label of NAME", "feature WRITTEN", "devcontainer.json". ``label_in_image``: False: nothing was built, and the
    label belongs on the container. ``user``: USER of the image, empty for root; ``details``: as the engine describes the image."""

    image: str
    entries: tuple[Object, ...]
    origins: tuple[str, ...]
    label_in_image: bool
    user: str
    details: Object


@dataclass(frozen=True, slots=True)
class _Job:
    """What all steps know."""

    configuration: Configuration
    features: FeatureSet | None
    docker: Docker
    how: How

    @property
    def folder(self) -> str:
        """Of the configuration."""
        place = self.configuration.place
        return os.path.dirname(place.path) if place else self.docker.folder


def make_image(configuration: Configuration, features: FeatureSet | None, docker: Docker, how: How) -> Built:
    """Of a configuration with an image or a Dockerfile.

    Raises:
        ConfigError: it says something that makes no image.
        PolicyRefused: it asks for what was not granted.
        EnvironmentFailed: the build failed.
    """
    job = _Job(configuration, features, docker, how)
    recipe = dockerfile.recipe(configuration.config, job.folder)
    if recipe is not None:
        return _of_dockerfile(recipe, job)
    name = configuration.config.get("image")
    if not isinstance(name, str) or not name:
        raise ConfigError("No image information specified in devcontainer.json.", remedy="give image or build.dockerfile")
    _not_pulled(name, docker)
    if how.pull:
        docker.ask(docker.command, "pull", *(("--platform", how.platform) if how.platform else ()), "--", name, deadline_s=PULL_S)
    details = docker.image(name)
    return _on_image(name, details, _label(job, name, details), job)


def extend(base: str, configuration: Configuration, features: FeatureSet | None, docker: Docker, how: How) -> Built:
    """On the image ``base``, of a service of compose: pulled if it is not here. Raises as ``make_image``."""
    job = _Job(configuration, features, docker, how)
    details = docker.image(base)
    return _on_image(base, details, _label(job, base, details), job)


# --- a Dockerfile of the user's ------------------------------------------------------------------------------------------------


def _of_dockerfile(recipe: Recipe, job: _Job) -> Built:
    judged = buildoptions.judge(dockerfile.to_judge(recipe), job.how.grants)
    seen = replace(recipe, dockerfile=os.path.realpath(recipe.dockerfile), context=os.path.realpath(recipe.context))
    refuse((*judged.findings, *_outside(seen, job)))
    for note in judged.notes:
        job.how.log(note)
    text = _read(seen.dockerfile, recipe.dockerfile)
    if not os.path.isdir(seen.context):
        raise ConfigError(f"the build context {recipe.context} is no folder", remedy="build.context is relative to devcontainer.json")
    base = _base_of(text, seen, job)
    label = _label(job, *base)
    features = job.features.features if job.features else ()
    own = {} if features else label.labels(job.how.labels)
    image, details = _build(seen, text, judged.options, own, job)
    if features:
        return _on_image(image, details, label, job)
    _tag(image, job)
    return _built(image, details, label, in_image=True)


def _outside(recipe: Recipe, job: _Job) -> tuple[Finding, ...]:
    """The ground is what the user named: a folder and the work tree around it, and the folder of a file that was named itself."""
    place = job.configuration.place
    root = job.configuration.root or job.folder
    tree = locate.ground(root, True).root if os.path.isdir(root) else root
    named = (job.folder,) if place is not None and place.scheme == "file" else ()
    ground = WorkspaceGround(tuple(dict.fromkeys(os.path.realpath(one) for one in (root, tree, *named))))
    return buildoptions.judge_paths({"build.dockerfile": recipe.dockerfile, "build.context": recipe.context}, ground, job.how.grants)


def _read(path: str, written: str) -> str:
    data = locate.read_file(path)
    if data is None:
        raise ConfigError(f"Dockerfile ({written}) not found.", remedy="build.dockerfile is relative to devcontainer.json")
    return data.decode("utf-8", "replace")


def _base_of(text: str, recipe: Recipe, job: _Job) -> tuple[str, Object | None]:
    """The image below the Dockerfile, for its label. None: there is none."""
    machine = platform.machine()
    name = base_image(text, recipe.arguments, recipe.target, platform_arguments("linux", MACHINES.get(machine, machine)))
    if not name or name == "scratch":
        return name or "", None
    _not_pulled(name, job.docker)
    if job.how.pull:
        job.docker.ask(job.docker.command, "pull", "--", name, deadline_s=PULL_S)
    return name, job.docker.image(name)


def _build(recipe: Recipe, text: str, options: Sequence[str], labels: Mapping[str, str], job: _Job) -> tuple[str, Object]:
    """A name of ours, and what the engine says of the image."""
    how = job.how
    need, syntax = needs_buildkit(text), syntax_line(text)
    environ = building.builder(need, how.buildkit, job.docker)
    with building.id_file(how.scratch) as id_file:
        words = (
            *dockerfile.words(recipe, options),
            *_cache_words(how),
            *(("--cache-to", how.cache_to) if how.cache_to else ()),
            *how.options(),  # after the file's own: of two the last counts
            *label_words({naming.LABEL: "1", **labels}),
            "--iidfile", str(id_file),
            "--", recipe.context,
        )  # fmt: skip
        said = building.build(job.docker, words, environ, how.log, how.deadline_s)
        if need is not None and need.soft and building.lacks_frontend(said, syntax):
            how.log(f"{need.what} cannot be had; the builder that takes that line for a comment is tried")
            said = building.build(job.docker, words, {"DOCKER_BUILDKIT": "0"}, how.log, how.deadline_s)
        if said.code != 0:
            raise building.failure(said, recipe.dockerfile, syntax)
        try:
            found = id_file.read_text().strip()
        except OSError:
            raise BuildFailed(f"docker build of {recipe.dockerfile} succeeded and names no image") from None
    name = naming.of_image("dockerfile", found)
    details = job.docker.inspect("image", found)[0]
    _tag_if_other(name, str(details.get("Id")), job.docker)
    return name, details


# --- features on an image ------------------------------------------------------------------------------------------------------


def _on_image(base: str, details: Object, label: Label, job: _Job) -> Built:
    """Features and the label, where there is anything to add."""
    features = job.features.features if job.features else ()
    if not features and not job.how.labelled:
        _tag(base, job)
        return _built(base, details, label, in_image=False)
    merged = merge(job.configuration.config, [job.configuration.substituted(one) for one in label.entries])
    user = _user(details)
    container = _first(merged.get("containerUser"), user)
    remote = _first(merged.get("remoteUser"), container)
    steps = layer.steps_of(features)
    parts = [_part(step, layer.values(step.feature, container, remote), job) for step in steps]
    identity = str(details.get("Id"))
    variables = layer.env_of(job.configuration.config.get("containerEnv")) if features else layer.Env()
    for problem in variables.problems:
        job.how.log(problem)
    job.how.stands_on(details)
    text = layer.dockerfile(naming.to_stand_on(base, identity), steps, user, variables.lines)
    name, made = _build_layer(text, parts, (base, identity), label, job)
    _tag(name, job)
    return _built(name, made, label, in_image=True)


def _build_layer(text: str, parts: Sequence[Part], base: tuple[str, str], label: Label, job: _Job) -> tuple[str, Object]:
    """``base``: name and id of the image below."""
    how, docker = job.how, job.docker
    labels = {naming.LABEL: "1", **label.labels(how.labels)}
    archive, digest = context.pack(text, parts, how.scratch)
    with archive:
        listed = [part for pair in sorted(labels.items()) for part in pair]
        name = naming.of_content("features" if parts else "labelled", base[1], digest, how.platform or "", *listed)
        if not how.no_cache and (made := made_before(name, docker, how)) is not None:
            return name, made
        hold(*base, docker)
        environ = building.builder(None, how.buildkit, docker)
        words = (*how.options(), *_cache_words(how), *label_words(labels), "-t", name, "--", "-")
        said = building.build(docker, words, environ, how.log, how.deadline_s, archive)
    if said.code != 0:
        raise _feature_failure(said, [part.step for part in parts])
    made = docker.inspect("image", name)[0]
    building.remember(how.cache, name, str(made.get("Id")))
    return name, made


def _part(step: layer.Step, values: bytes, job: _Job) -> Part:
    inside = Path(job.configuration.root or job.folder) / FOLDER if isinstance(step.feature.source, Local) else None
    return Part(step, files_of(step.feature, job.how.fetch), values, inside)


def _feature_failure(said: Said, steps: Sequence[layer.Step]) -> AienvError:
    found = layer.failed_feature(said.lines, steps)
    if found is None:
        return building.failure(said, "the image with features", None)
    step, lines = found
    values = step.feature.manifest.values
    links = (("documentationURL", "documentation"), ("licenseURL", "licence"))
    remedy = "; ".join(f"its {what}: {values[key]}" for key, what in links if values.get(key))
    shown = "\n".join((f"the feature {step.feature.written!r} failed to install:", *lines))
    return BuildFailed(shown, remedy=remedy or None, code="feature-install")


def hold(name: str, image_id: str, docker: Docker) -> None:
    """Have the name under which an image of ours stands on this one."""
    _tag_if_other(naming.to_stand_on(name, image_id), image_id, docker)


def _tag_if_other(name: str, image_id: str, docker: Docker) -> None:
    """Give an image a name, whatever had it before."""
    before = if_here(name, docker)
    if before is None or before.get("Id") != image_id:
        docker.ask(docker.command, "tag", "--", image_id, name)


def made_before(name: str, docker: Docker, how: How) -> Object | None:
    """The image of this name, if it is one that we built, by our own records; a name and labels can be given by others."""
    found = if_here(name, docker)
    ours = found is not None and naming.LABEL in image_labels(found) and building.was_built(how.cache, name, str(found.get("Id")))
    return found if ours else None


def _not_pulled(name: str, docker: Docker) -> None:
    """A registry may have names below ours; what it has is not ours."""
    if naming.is_ours(name) and if_here(name, docker) is None:
        raise ConfigError(f"{name!r} is the name of an image of aienv's own, and is not here", remedy="name the image that it was made of")


def if_here(name: str, docker: Docker) -> Object | None:
    """What the engine says of an image, if there is one of that name; no registry is asked."""
    try:
        return docker.inspect("image", name)[0]
    except EnvironmentFailed:
        return None


# --- labels, names, users ------------------------------------------------------------------------------------------------------


def _label(job: _Job, base: str, details: Object | None) -> Label:
    """Of the image below, of the features, of the file."""
    features = job.features.metadata() if job.features else []
    config = job.configuration.raw
    if job.how.omit_customizations:
        features = [without(one, "customizations") for one in features]
    if job.how.omit_remote_env:
        config = without(config, "remoteEnv")
    found = label_of(base, {} if details is None else image_labels(details), features, config)
    if found.problem:
        job.how.log(f"{base}: {found.problem}")
    return found


def _cache_words(how: How) -> tuple[str, ...]:
    return tuple(word for name in how.cache_from for word in (dockerfile.CACHE_OPTION, name))


def _tag(image: str, job: _Job) -> None:
    for name in job.how.names:
        job.docker.ask(job.docker.command, "tag", "--", image, name)


def _built(image: str, details: Object, label: Label, *, in_image: bool) -> Built:
    return Built(image, label.entries, label.origins, in_image, _user(details), details)


def _user(details: Object) -> str:
    found = cast(Object, details.get("Config") or {}).get("User")
    return found if isinstance(found, str) else ""


def _first(value: Json, otherwise: str) -> str:
    """A user's name; a number is one, too."""
    if isinstance(value, str) and value:
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else otherwise
