"""A dev container of its own, without compose: its image, the judgement of what it asks for, and ``docker run``."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from orchestrator.devcontainer import locate
from orchestrator.devcontainer.engine import Docker, image_labels
from orchestrator.devcontainer.features.resolve import FeatureSet
from orchestrator.devcontainer.ids import CONFIG_FILE, GUARD, LOCAL_FOLDER, MADE, MAKER, OF_FOLDER, PREBUILT, folder_label
from orchestrator.devcontainer.images.image import Built, How, make_image
from orchestrator.devcontainer.images.remoteuid import with_remote_uid
from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.devcontainer.life import prebuilt
from orchestrator.devcontainer.life.guarded import Guards, link_sockets
from orchestrator.devcontainer.life.inside import Exec, run, variable_options
from orchestrator.devcontainer.life.known import CONFIG_ORIGIN
from orchestrator.devcontainer.life.prebuilt import Prebuilds
from orchestrator.devcontainer.life.probing import text
from orchestrator.devcontainer.life.session import Log
from orchestrator.devcontainer.life.startup import Made, own_argv, run_words, texts_of
from orchestrator.devcontainer.load import Configuration
from orchestrator.devcontainer.merge import merge, mount_fields
from orchestrator.devcontainer.metadata import LABEL, OF_CONFIG, as_label, pick
from orchestrator.devcontainer.policy import container as policy
from orchestrator.devcontainer.policy.container import Entry, Verdict
from orchestrator.devcontainer.policy.dockerfeatures import Satisfied, satisfied
from orchestrator.devcontainer.policy.grants import Grants
from orchestrator.devcontainer.policy.mounts import parse as parse_mount
from orchestrator.devcontainer.policy.verdict import Finding, WorkspaceGround, refuse
from orchestrator.errors import AienvError, ConfigError, EnvironmentFailed, UsageError

RUN_S = 120.0


@dataclass(frozen=True, slots=True)
class Making:
    """How a container is made, beside its configuration. ``mounts``: of the command line, judged by nobody: they are the user's own.
    ``labels``: by which it is found again; ``additional_entries``: of the command line."""

    labels: Mapping[str, str]
    grants: Grants
    images: How
    mounts: Sequence[str] = ()
    update_uid: Literal["never", "on", "off"] = "on"
    gpus: Literal["all", "detect", "none"] = "detect"
    guards: Guards | None = None
    prebuilds: Prebuilds | None = None


def make_container(configuration: Configuration, features: FeatureSet | None, docker: Docker, making: Making, log: Log) -> str:
    """Its id. What was not granted is refused before anything is made.

    Raises:
        PolicyRefused: names everything that was not granted.
        ConfigError, EnvironmentFailed: it could not be made.
    """
    judged_before_building(configuration, features, making)
    built = make_image(configuration, features, docker, making.images)
    refuse(claims(built))
    found = satisfied(judged_entries(built, configuration))
    verdict = judged(found.entries, configuration, making, log)
    refuse(foreign_volumes(verdict.final.volumes, docker, making))
    merged = merge(configuration.config, [one.values for one in found.entries])
    user = verdict.final.user or text_or_none(merged.get("containerUser"))
    image = image_for(built.image, merged, user or built.user, docker, making)
    own = _own_arguments(merged, docker, image)
    image, behind = _prebuilt(image, merged, user or built.user, configuration, docker, making, log)
    mounts = workspace_mounts(configuration, verdict, making)
    guarded = guard_for(found, configuration, mounts, making, log)
    made = Made(
        image,
        {**labels_of(making, built.entries if not built.label_in_image else None), **guarded.labels, **behind},
        environ_but(environ_of_merged(merged), verdict.final.env),
        user,
        (*mounts, *guarded.mounts),
        replace(verdict.final, user=None),
        texts_of(merged.get("entrypoints")),
        own,
        wants_gpu(merged, docker, making, log),
    )
    variables, data = variable_options(made.environ)
    done = run(docker, Exec((docker.command, *run_words(made, variables)), data), deadline_s=RUN_S)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        _remove_unstarted(docker, making)
        raise EnvironmentFailed(f"the container could not be started: {said}", remedy="correct what devcontainer.json asks for")
    name = done.stdout.decode().strip()
    guarded.link(docker, name)
    return name


def _remove_unstarted(docker: Docker, making: Making) -> None:
    """What ``docker run`` made and could not start."""
    for one in docker.containers(making.labels) if making.labels else ():
        state = one.get("State")
        if MADE in image_labels(one) and isinstance(state, dict) and state.get("Status") == "created":
            docker.ask(docker.command, "rm", "-f", "-v", str(one["Id"]))


def _prebuilt(
    image: str, merged: Object, user: str, configuration: Configuration, docker: Docker, making: Making, log: Log
) -> tuple[str, Mapping[str, str]]:
    """The prebuild on ``image`` if there is one, and the label that says what it has behind it."""
    if making.prebuilds is None:
        return image, {}
    name = prebuilt.name_of(str(docker.image(image)["Id"]), merged, user, configuration)
    if not making.prebuilds.found(name):
        return image, {}
    log.info("a prebuild fits: onCreateCommand is behind it")
    return name, {PREBUILT: "onCreateCommand"}


@dataclass(frozen=True, slots=True)
class Guarded:
    """What a container needs to reach its Docker guard; nothing of it where no feature wants Docker."""

    labels: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[str, ...] = ()
    sockets: tuple[str, ...] = ()

    def link(self, docker: Docker, container: str) -> None:
        """Let programs in the container find it.

        Raises:
            EnvironmentFailed: the container's files cannot be written.
        """
        if self.sockets:
            link_sockets(docker, container, self.sockets)


def guard_for(found: Satisfied, configuration: Configuration, mounts: Sequence[str], making: Making, log: Log) -> Guarded:
    """A guard that serves, where a feature wants Docker.

    Raises:
        EnvironmentFailed: it did not start.
    """
    for note in found.notes:
        log.info(note)
    if not found.sockets or making.guards is None or configuration.root is None:
        return Guarded()
    key = making.guards.key(making.labels)
    making.guards.ensure(key, *_project(configuration, mounts))
    return Guarded({GUARD: key}, (making.guards.mount(key),), found.sockets)


def _project(configuration: Configuration, mounts: Sequence[str]) -> tuple[str, str]:
    """The workspace on this machine, and in the container. A mount is read as docker reads it, and its source must be the workspace."""
    ground = ground_of(configuration, ())
    for written in mounts:
        with contextlib.suppress(ValueError):
            mount = parse_mount(written)
            if mount.kind == "bind" and mount.source is not None and mount.source in ground.folders:
                return mount.source, mount.target
    workspace = configuration.workspace
    inside = workspace.folder if workspace is not None and isinstance(workspace.folder, str) and workspace.folder.startswith("/") else "/"
    return str(configuration.root), inside


def judged_entries(built: Built, configuration: Configuration) -> list[Entry]:
    """The entries with who asks, variables replaced."""
    pairs = zip(built.origins, built.entries, strict=True)
    return [Entry(origin, configuration.substituted(entry)) for origin, entry in pairs]


def claims(built: Built) -> list[Finding]:
    """Labels of an image that say whose its containers are: a container with just these would not be found again as ours."""
    names = [name for name in (LOCAL_FOLDER, CONFIG_FILE, GUARD, PREBUILT, MAKER, OF_FOLDER) if image_labels(built.details).get(name)]
    return [Finding(f"the label {name}", f"the image {built.image}", "it says whose a container is", None) for name in names]


def judged_before_building(configuration: Configuration, features: FeatureSet | None, making: Making) -> None:
    """What file and features ask for; what an image's label asks for is known once there is an image.

    Raises:
        PolicyRefused: names everything that was not granted.
    """
    asked = [Entry(f"feature {one.get('id')}", configuration.substituted(one)) for one in (features.metadata() if features else ())]
    asked.append(Entry(CONFIG_ORIGIN, pick(configuration.config, OF_CONFIG)))
    paths = policy.host_paths(asked, configuration.config)
    refuse(policy.judge(satisfied(asked).entries, configuration.config, ground_of(configuration, paths), making.grants).findings)


def judged(entries: Sequence[Entry], configuration: Configuration, making: Making, log: Log) -> Verdict:
    """What may be made.

    Raises:
        PolicyRefused: names everything that was not granted.
    """
    paths = policy.host_paths(entries, configuration.config)
    ground = ground_of(configuration, paths)
    verdict = policy.judge(entries, configuration.config, ground, making.grants)
    for note in verdict.notes:
        log.warn(note)
    refuse(verdict.findings)
    return verdict


def ground_of(configuration: Configuration, paths: Sequence[str]) -> WorkspaceGround:
    """The workspace's folders, and where ``paths`` lead."""
    folders: list[str] = []
    if configuration.root is not None:
        folders += (configuration.root, locate.ground(configuration.root, True).root)
    if (repository := common_dir(configuration)) is not None:
        folders.append(repository)
    return WorkspaceGround(tuple(folders), {path: os.path.realpath(path) for path in (*paths, *folders)})


def common_dir(configuration: Configuration) -> str | None:
    """The repository of a linked work tree, if it is to be mounted and knows the tree."""
    workspace, root = configuration.workspace, configuration.root
    if workspace is None or workspace.also is None or root is None:
        return None
    found = str(mount_fields(workspace.also).get("source"))
    return found if locate.is_repository_of(found, locate.ground(root, True).root) else None


def foreign_volumes(names: Sequence[str], docker: Docker, making: Making, project: str | None = None) -> list[Finding]:
    """Volumes that are there and belong to something else. ``project``: compose's, which makes those that are missing; without one they
    are made here, so that it is known for whom."""
    findings: list[Finding] = []
    folder = folder_label(making.labels)
    for name in names:
        try:
            labels = image_labels({"Config": docker.inspect("volume", name)[0]})
        except EnvironmentFailed:
            if project is None:
                docker.ask(docker.command, "volume", "create", "--label", f"{MADE}=1", "--label", f"{OF_FOLDER}={folder}", name)
            continue
        if making.grants.allows(f"volume:{name}"):
            continue
        if labels.get(OF_FOLDER) != folder and not _used_here(name, docker, making):
            why = "a volume of that name is there, and belongs to something else"
            findings.append(Finding(f"the volume {name}", "the configuration", why, f"volume:{name}"))
    return findings


def _used_here(volume: str, docker: Docker, making: Making) -> bool:
    """Whether containers use it, and all of them are of this workspace: another program made it for them."""
    users = [image_labels(one) for one in docker.containers_with(f"volume={volume}")]
    return bool(users) and all(making.labels.items() <= one.items() for one in users)


def image_for(image: str, merged: Object, user: str, docker: Docker, making: Making) -> str:
    """The image, with the remote user's uid changed to the caller's where that is wanted."""
    remote = text_or_none(merged.get("remoteUser")) or user or "root"
    chosen = merged.get("updateRemoteUserUID")
    wanted = making.update_uid == "on" if chosen is None else bool(chosen)
    if making.update_uid == "never" or not wanted or remote == "root" or remote.partition(":")[0].isdigit():
        return image
    return with_remote_uid(image, remote, os.getuid(), os.getgid(), docker, making.images)


def workspace_mounts(configuration: Configuration, verdict: Verdict, making: Making) -> tuple[str, ...]:
    """The workspace's own, which is the user's choice of folder, or the file's as it was judged; and those of the command line."""
    workspace = configuration.workspace
    mounts: list[str] = []
    if verdict.final.workspace_mount is not None:
        mounts.append(verdict.final.workspace_mount)
    elif workspace is not None and isinstance(workspace.mount, str):
        mounts.append(workspace.mount)
    if workspace is not None and workspace.also is not None:
        if common_dir(configuration) is None:
            source = mount_fields(workspace.also).get("source")
            raise ConfigError(
                f"the file .git of {configuration.root} names {source}, which is no repository that has it as a work tree",
                remedy="leave out --mount-git-worktree-common-dir",
            )
        mounts.append(workspace.also)
    return (*(one for one in mounts if one), *(_for_docker(one) for one in making.mounts))


def user_mounts(words: Sequence[str]) -> tuple[str, ...]:
    """``--mount`` of the command line.

    Raises:
        UsageError: one is none.
    """
    for word in words:
        fields = mount_fields(word)
        if not fields.get("target") or fields.get("external") not in (None, "true", "false"):
            form = "type=<bind|volume>,source=<source>,target=<target>[,external=<true|false>]"
            raise UsageError(f"--mount {word!r} is no mount", remedy=f"write it as {form}")
    return tuple(words)


def _for_docker(mount: str) -> str:
    """Whether a volume must be there already is a question for compose alone."""
    return ",".join(word for word in mount.split(",") if not word.startswith("external="))


def labels_of(making: Making, entries: Sequence[Object] | None) -> dict[str, str]:
    """``entries``: for the label of the container, None where the image has them."""
    return {**making.labels, MADE: "container", **({LABEL: as_label(entries)} if entries is not None else {})}


def environ_of_merged(merged: Object) -> dict[str, str]:
    """``containerEnv``; null says nothing."""
    table = merged.get("containerEnv")
    return {name: text(value) for name, value in table.items() if value is not None} if isinstance(table, dict) else {}


def environ_but(environ: Mapping[str, str], stronger: Sequence[str]) -> dict[str, str]:
    """``environ`` without what ``stronger``, of runArgs, sets: docker would hand over both."""
    names = {word.partition("=")[0] for word in stronger}
    return {name: value for name, value in environ.items() if name not in names}


def wants_gpu(merged: Object, docker: Docker, making: Making, log: Log) -> bool:
    """Whether the configuration asks for one, and the engine has it."""
    requirements = merged.get("hostRequirements")
    gpu = requirements.get("gpu") if isinstance(requirements, dict) else None
    if not gpu or making.gpus == "none":
        return False
    if making.gpus == "detect":
        try:
            has = "nvidia" in docker.ask(docker.command, "info", "-f", "{{json .Runtimes}}")
        except AienvError:
            has = False
        if not has and gpu != "optional":
            log.warn("the configuration asks for a GPU, and the engine has none")
        return has
    return True


def text_or_none(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


def _own_arguments(merged: Object, docker: Docker, image: str) -> tuple[str, ...]:
    """Those of the image, where they are not to be replaced."""
    return own_argv(docker.image(image)) if merged.get("overrideCommand") is False else ()
