"""``up``: the container of a folder made or found, started, prepared; its hooks run."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from orchestrator.devcontainer import ids
from orchestrator.devcontainer.engine import image_labels
from orchestrator.devcontainer.finding import Found, Wanted, look
from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.life.guarded import FOLDER_INSIDE
from orchestrator.devcontainer.life.hooks import commands_of
from orchestrator.devcontainer.life.known import CONFIG_ORIGIN, Rim, configurations, read, session_of
from orchestrator.devcontainer.life.projects import start_project
from orchestrator.devcontainer.life.session import Settings
from orchestrator.devcontainer.load import Configuration
from orchestrator.devcontainer.policy.grants import Grants
from orchestrator.devcontainer.policy.verdict import Finding, refuse
from orchestrator.errors import EnvironmentFailed, NotFound

INITIALIZE_S = 3600.0
START_S = 120.0
Make = Callable[[Configuration, Mapping[str, str]], str]


@dataclass(frozen=True, slots=True)
class Request:
    """``make``: makes a container that is not there, of a configuration and labels by which it is found again; gives its id."""

    wanted: Wanted
    grants: Grants
    make: Make
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
    merged: Object | None = None


def up(request: Request, rim: Rim, reached: Reached) -> Object:
    """What is printed when it went well.

    Raises:
        PolicyRefused: something was not granted; nothing was made.
        AienvError: it could not be made, or a hook failed; then the container is there, and ``reached`` says which.
    """
    configuration, labels = read(request.wanted, request.grants, rim)
    with rim.records.alone(labels, rim.log.info):
        initialize(configuration, request.grants, rim)
        return _upped(configuration, labels, request, rim, reached)


def _upped(
    configuration: Configuration, labels: Mapping[str, str], request: Request, rim: Rim, reached: Reached
) -> Object:
    found = look(request.wanted, configuration, rim.docker)
    if found.container is not None and (request.remove_existing or _never_ran(found.container)):
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
    reached.project = image_labels(found.container).get(ids.PROJECT)
    session = session_of(found, configuration, request.settings, rim)
    session.run_hooks()
    session.ready()
    reached.merged = session.merged
    document: Object = {"outcome": "success", "containerId": session.id}
    if reached.project is not None:
        document["composeProjectName"] = reached.project
    document |= {"remoteUser": session.user.partition(":")[0], "remoteWorkspaceFolder": session.folder}
    return {**document, **configurations(session, request.include_configuration, request.include_merged)}


def _never_ran(container: Object) -> bool:
    """One of ours that was made and not started: its ``up`` was ended between, or a mount or a port could not be had. Nothing is in it."""
    labels, state = image_labels(container), container.get("State")
    return isinstance(state, dict) and state.get("Status") == "created" and ids.MADE in labels and ids.PROJECT not in labels


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
    running: list[subprocess.Popen[bytes]] = []
    end = time.monotonic() + INITIALIZE_S
    try:
        for command in commands:
            running.append(subprocess.Popen(
                command.argv, cwd=configuration.root, env=dict(rim.environ), stdin=subprocess.DEVNULL, stdout=2, stderr=2,
                start_new_session=True,
            ))  # fmt: skip
        codes = [one.wait(max(0.0, end - time.monotonic())) for one in running]
    except OSError as problem:
        raise EnvironmentFailed(f"the initializeCommand cannot be run: {problem.strerror}") from None
    except subprocess.TimeoutExpired:
        raise EnvironmentFailed(f"the initializeCommand did not end within {INITIALIZE_S:g} seconds") from None
    finally:
        for one in running:
            if one.poll() is None:
                os.killpg(one.pid, signal.SIGKILL)
                one.wait()
    if any(codes):
        raise EnvironmentFailed(f"the initializeCommand failed with exit code {next(code for code in codes if code)}")


def remove(container: Object, rim: Rim) -> None:
    """A container, and what was learned of it."""
    name = str(container["Id"])
    rim.docker.ask(rim.docker.command, "rm", "-f", name, deadline_s=START_S)
    rim.records.forget(name)


def _made(configuration: Configuration, labels: Mapping[str, str], request: Request, rim: Rim, reached: Reached) -> Found:
    name = request.make(configuration, labels)
    reached.container = name
    container = rim.docker.container(name)
    _must_run(container, rim)
    return Found(container, labels)


def _started(found: Found, configuration: Configuration, request: Request, rim: Rim) -> Found:
    assert found.container is not None
    name, state = str(found.container["Id"]), found.container.get("State")
    status = state.get("Status") if isinstance(state, dict) else None
    if (key := image_labels(found.container).get(ids.GUARD)) and configuration.root is not None:
        rim.guards.ensure(key, *mounted_project(configuration, found.container))
    if status == "running":
        return found
    _mounts_stay(found.container, configuration, request.grants)
    if status == "paused":
        rim.docker.ask(rim.docker.command, "unpause", name)
    elif (project := image_labels(found.container).get(ids.PROJECT)) and "dockerComposeFile" in configuration.config:
        start_project(project, found.container, rim.docker, rim.records)
    else:
        rim.docker.ask(rim.docker.command, "start", name, deadline_s=START_S)
    container = rim.docker.container(name)
    _must_run(container, rim)
    return Found(container, found.labels)


def mounted_project(configuration: Configuration, container: Object) -> tuple[str, str]:
    """The workspace on this machine and in the container, as it was mounted."""
    mounts = container.get("Mounts")
    for one in mounts if isinstance(mounts, list) else ():
        if isinstance(one, dict) and one.get("Type") == "bind" and one.get("Destination") != FOLDER_INSIDE:
            source = str(one.get("Source"))
            if f"{configuration.root}/".startswith(f"{source}/"):
                return source, str(one.get("Destination"))
    return str(configuration.root), "/"


def _mounts_stay(container: Object, configuration: Configuration, grants: Grants) -> None:
    """A mount is resolved again at each start, and what ran in the workspace may have put a link in the place of its source.

    Raises:
        PolicyRefused: a source leads elsewhere by now.
    """
    findings: list[Finding] = []
    mounts = container.get("Mounts")
    for one in mounts if isinstance(mounts, list) else ():
        source = str(one.get("Source")) if isinstance(one, dict) and one.get("Type") == "bind" else ""
        below = configuration.root is not None and source.startswith(f"{configuration.root}/")
        real = os.path.realpath(source) if below else source
        stays = real == source or f"{real}/".startswith(f"{os.path.realpath(str(configuration.root))}/")
        if not stays and not grants.allows(f"mount:{real}"):
            why = f"it has become a link, and leads to {real}"
            findings.append(Finding(f"the mount of {source}", "the container", why, f"mount:{real}"))
    refuse(findings)


def _must_run(container: Object, rim: Rim) -> None:
    state = container.get("State")
    if isinstance(state, dict) and state.get("Status") != "running":
        said = rim.docker.ask(rim.docker.command, "logs", "--tail", "20", str(container["Id"])).strip()
        raise EnvironmentFailed(
            f"the container ended at once, with exit code {state.get('ExitCode')}{f': {said}' if said else ''}",
            remedy="is there a /bin/sh in the image, and does its command stay?",
        )
