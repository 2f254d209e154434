"""``up``: the container of a folder made or found, started, prepared; its hooks run."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.devcontainer import ids
from orchestrator.devcontainer.engine import Docker, container_environ, image_labels
from orchestrator.devcontainer.features.resolve import FeatureSet
from orchestrator.devcontainer.finding import Found, Wanted, look
from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.devcontainer.life.composition import make_project, start_project
from orchestrator.devcontainer.life.hooks import commands_of
from orchestrator.devcontainer.life.making import Making, make_container
from orchestrator.devcontainer.life.record import Records
from orchestrator.devcontainer.life.session import Log, Session, Settings
from orchestrator.devcontainer.load import Configuration, load
from orchestrator.devcontainer.metadata import OF_CONFIG, OF_CONFIG_LATER, pick, read_label
from orchestrator.devcontainer.policy import localenv
from orchestrator.devcontainer.policy.grants import Grants
from orchestrator.devcontainer.policy.verdict import Finding, refuse
from orchestrator.devcontainer.variables import container_pass, environ_of, id_pass, substitute
from orchestrator.errors import EnvironmentFailed, NotFound

INITIALIZE_S = 3600.0
START_S = 120.0
CONFIG_ORIGIN = "devcontainer.json"

Resolve = Callable[[Configuration], FeatureSet | None]


@dataclass(frozen=True, slots=True)
class Request:
    """``making``: without the labels, which come from ``wanted``."""

    wanted: Wanted
    making: Making
    settings: Settings
    remove_existing: bool = False
    expect_existing: bool = False
    include_configuration: bool = False
    include_merged: bool = False


@dataclass(slots=True)
class Reached:
    """How far it came, for who must say why it did not come further."""

    container: str | None = None
    project: str | None = None


@dataclass(frozen=True, slots=True)
class Rim:
    """What it works with. ``environ``: the caller's, of which a configuration sees what was granted."""

    environ: Mapping[str, str] = field(repr=False)
    docker: Docker
    records: Records
    resolve: Resolve
    log: Log


def up(request: Request, rim: Rim, reached: Reached) -> Object:
    """What is printed when it went well.

    Raises:
        PolicyRefused: something was not granted; nothing was made.
        AienvError: it could not be made, or a hook failed; then the container is there, and ``reached`` says which.
    """
    configuration, labels = read(request.wanted, request.making.grants, rim)
    initialize(configuration, request.making.grants, rim)
    found = look(request.wanted, configuration, rim.docker)
    if found.container is not None and request.remove_existing:
        remove(found.container, rim)
        found = Found(None, labels)
    if found.container is None:
        if request.expect_existing:
            raise NotFound("The expected container does not exist.", remedy="leave out --expect-existing-container, and it is made")
        found = _made(configuration, labels, request, rim, reached)
    else:
        reached.container = str(found.container["Id"])
        found = _started(found, configuration, request, rim)
    assert found.container is not None
    reached.container = str(found.container["Id"])
    reached.project = image_labels(found.container).get("com.docker.compose.project")
    session = session_of(found, configuration, request.settings, rim)
    session.run_hooks()
    session.ready()
    document: Object = {"outcome": "success", "containerId": session.id}
    if reached.project is not None:
        document["composeProjectName"] = reached.project
    document |= {"remoteUser": session.user, "remoteWorkspaceFolder": session.folder}
    return {**document, **configurations(session, request.include_configuration, request.include_merged)}


def read(wanted: Wanted, grants: Grants, rim: Rim) -> tuple[Configuration, Mapping[str, str]]:
    """The configuration with its own id, and the labels of its container. Variables of this machine are seen where they were granted.

    Raises:
        ConfigError: the file cannot be understood.
    """
    configuration = load(wanted.file, localenv.visible(rim.environ, grants))
    for warning in configuration.warnings:
        rim.log.warn(warning)
    for note in localenv.notes(localenv.asked(configuration.raw), rim.environ, grants):
        rim.log.warn(note)
    if wanted.id_labels:
        labels = ids.labels_of(wanted.id_labels)
    else:
        labels = ids.default_labels(wanted.file.folder or "", configuration.place.path if configuration.place else None)
    return configuration.then(id_pass(ids.devcontainer_id(labels))), labels


def initialize(configuration: Configuration, grants: Grants, rim: Rim) -> None:
    """``initializeCommand``, on this machine, if that was granted.

    Raises:
        PolicyRefused: it was not.
        EnvironmentFailed: it failed.
    """
    commands = commands_of(configuration.config.get("initializeCommand"), "initializeCommand")
    if not commands:
        return
    if not grants.allows("initializeCommand"):
        what = " ".join(commands[0].argv)
        why = "it runs on this machine, not in the container"
        refuse([Finding(f"initializeCommand {what}", CONFIG_ORIGIN, why, "initializeCommand")])
    rim.log.info("Running the initializeCommand from devcontainer.json...")
    running = [
        subprocess.Popen(command.argv, cwd=configuration.root, env=dict(rim.environ), stdin=subprocess.DEVNULL,
                         stdout=2, stderr=2)
        for command in commands
    ]  # fmt: skip
    try:
        codes = [one.wait(INITIALIZE_S) for one in running]
    finally:
        for one in running:
            one.kill()
    if any(codes):
        raise EnvironmentFailed(f"the initializeCommand failed with exit code {next(code for code in codes if code)}")


def session_of(
    found: Found, configuration: Configuration, settings: Settings, rim: Rim, *, features: Sequence[Object] = ()
) -> Session:
    """What is known of a container, for commands in it: its label's entries and what of the file still counts."""
    assert found.container is not None
    environ = environ_of(container_environ(found.container))
    known = configuration.then(container_pass(environ))
    labels = image_labels(found.container)
    label = read_label(labels)
    if label.problem:
        rim.log.warn(label.problem)
    own = [known.substituted(one) for one in label.entries]
    of_file = pick(known.config, OF_CONFIG_LATER if own and _all_in(found.labels, labels) else OF_CONFIG)
    entries = [*own, *(known.substituted(one) for one in features), *([of_file] if of_file else [])]
    origins = [_origin(entry) for entry in own]
    if own and _all_in(found.labels, labels) and "id" not in own[-1]:
        origins[-1] = CONFIG_ORIGIN
    origins += [_origin(one) for one in features] + ([CONFIG_ORIGIN] if of_file else [])
    entries = [_object(substitute(entry, container_pass(environ))) for entry in entries]
    return Session(rim.docker, Found(found.container, found.labels), known, entries, origins, rim.records, settings, rim.log)


def configurations(session: Session, plain: bool, merged: bool) -> Object:
    """What ``--include-configuration`` and ``--include-merged-configuration`` add."""
    configuration = session.configuration
    found: Object = {}
    if plain:
        found["configuration"] = configuration.placed(configuration.config)
    if merged:
        found["mergedConfiguration"] = configuration.placed(session.merged)
    return found


def remove(container: Object, rim: Rim) -> None:
    """A container, and what was learned of it."""
    name = str(container["Id"])
    rim.docker.ask(rim.docker.command, "rm", "-f", name, deadline_s=START_S)
    rim.records.forget(name)


def _made(configuration: Configuration, labels: Mapping[str, str], request: Request, rim: Rim, reached: Reached) -> Found:
    making = replace(request.making, labels=labels)
    features = rim.resolve(configuration)
    if "dockerComposeFile" in configuration.config:
        name = make_project(configuration, features, rim.docker, rim.environ, making, rim.records, rim.log)
    else:
        name = make_container(configuration, features, rim.docker, making, rim.log)
    reached.container = name
    container = rim.docker.inspect("container", name)[0]
    _must_run(container, rim)
    return Found(container, labels)


def _started(found: Found, configuration: Configuration, request: Request, rim: Rim) -> Found:
    assert found.container is not None
    name, state = str(found.container["Id"]), found.container.get("State")
    status = state.get("Status") if isinstance(state, dict) else None
    if status == "running":
        return found
    if status == "paused":
        rim.docker.ask(rim.docker.command, "unpause", name)
    elif (project := image_labels(found.container).get("com.docker.compose.project")) and "dockerComposeFile" in configuration.config:
        start_project(project, found.container, rim.docker, rim.records)
    else:
        rim.docker.ask(rim.docker.command, "start", name, deadline_s=START_S)
    container = rim.docker.inspect("container", name)[0]
    _must_run(container, rim)
    return Found(container, found.labels)


def _must_run(container: Object, rim: Rim) -> None:
    state = container.get("State")
    if isinstance(state, dict) and state.get("Status") != "running":
        said = rim.docker.ask(rim.docker.command, "logs", "--tail", "20", str(container["Id"])).strip()
        raise EnvironmentFailed(
            f"the container ended at once, with exit code {state.get('ExitCode')}{f': {said}' if said else ''}",
            remedy="is there a /bin/sh in the image, and does its command stay?",
        )


def _all_in(wanted: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(labels.get(name) for name in wanted)


def _origin(entry: Object) -> str:
    name = entry.get("id")
    return f"Feature '{name}'" if isinstance(name, str) else "the image"


def _object(value: Json) -> Object:
    assert isinstance(value, dict)
    return value
