"""A dev container that is a service of a compose project: read by compose itself, judged whole, and run as it was judged."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.devcontainer import envfile
from orchestrator.devcontainer.composefiles import clients_environ, compose_files, environ_in
from orchestrator.devcontainer.engine import Docker, image_labels
from orchestrator.devcontainer.features.resolve import FeatureSet
from orchestrator.devcontainer.ids import OF_FOLDER, PROJECT, folder_label
from orchestrator.devcontainer.images.image import extend
from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.devcontainer.life.making import (
    Making,
    claims,
    environ_of_merged,
    foreign_volumes,
    ground_of,
    guard_for,
    image_for,
    judged,
    judged_before_building,
    judged_entries,
    labels_of,
    text_or_none,
)  # fmt: skip
from orchestrator.devcontainer.life.override import (
    Project,
    as_named,
    exposed_mounts,
    project_name,
    read_project,
    with_container,
    with_own_images,
    with_ports,
    without_restart,
    writes_name,
)  # fmt: skip
from orchestrator.devcontainer.life.projects import FOLDER, UP_S
from orchestrator.devcontainer.life.record import ProjectFile, Records
from orchestrator.devcontainer.life.session import Log
from orchestrator.devcontainer.life.startup import Made, list_at, texts_of
from orchestrator.devcontainer.load import Configuration
from orchestrator.devcontainer.locate import read_file
from orchestrator.devcontainer.merge import merge
from orchestrator.devcontainer.policy import compose as policy
from orchestrator.devcontainer.policy import localenv
from orchestrator.devcontainer.policy.composefiles import judge_files
from orchestrator.devcontainer.policy.dockerfeatures import satisfied
from orchestrator.devcontainer.policy.verdict import Finding, refuse
from orchestrator.errors import ConfigError, EnvironmentFailed

SERVICE = "com.docker.compose.service"


@dataclass(frozen=True, slots=True)
class Based:
    """A project that was read and judged, its service's ``image`` built or known. ``docker``: sees no more variables than was granted."""

    docker: Docker
    project: Project
    image: str
    folder: str
    name: str
    file: ProjectFile


def base_of_service(
    configuration: Configuration, docker: Docker, environ: Mapping[str, str], making: Making, records: Records, log: Log
) -> Based:
    """
    Raises:
        PolicyRefused: names everything that was not granted; nothing was made.
        ConfigError, EnvironmentFailed: it could not be made.
    """
    docker = replace(docker, environ=clients_environ(environ, localenv.visible(environ, making.grants)))
    files, env_file = _files(configuration, docker, environ)
    folder = os.path.dirname(files[0])
    ground = ground_of(configuration, ())
    beside = env_file or os.path.join(folder, ".env")
    refuse(judge_files(files, docker.environ, ground, making.grants, read_file, os.path.realpath))  # before anything of it is read
    values = envfile.read((read_file(beside) or b"").decode("utf-8", "replace"))
    refuse(judge_files(files, {**values, **docker.environ}, ground, making.grants, read_file, os.path.realpath))
    project = _read(configuration, docker, files, str(records.variables(envfile.written(values))))
    chosen = environ_in(beside)
    is_written = any(writes_name(read_file(path) or b"") for path in files)
    name = _free_name(project_name(environ, chosen, project.document, files[0], is_written), folder, docker)
    project = _judged(as_named(project, name), folder, configuration, docker, making, name, log)
    place = records.project(name)
    place.write(json.dumps(project.document).encode())
    base = _base(project, docker, records.compose(docker, name, place))
    return Based(docker, project, base, folder, name, place)


def make_project(
    configuration: Configuration, features: FeatureSet | None, docker: Docker, environ: Mapping[str, str], making: Making,
    records: Records, log: Log,
) -> str:  # fmt: skip
    """The id of the service's container; the project's other services run, too.

    Raises:
        PolicyRefused: names everything that was not granted; nothing was made.
        ConfigError, EnvironmentFailed: it could not be made.
    """
    judged_before_building(configuration, features, making)
    based = base_of_service(configuration, docker, environ, making, records, log)
    docker, project, base, folder, name, place = based.docker, based.project, based.image, based.folder, based.name, based.file
    built = extend(base, configuration, features, docker, making.images)
    refuse(claims(built))
    found = satisfied(judged_entries(built, configuration))
    verdict = judged(found.entries, configuration, making, log)
    merged = merge(configuration.config, [one.values for one in found.entries])
    user = text_or_none(merged.get("containerUser"))
    image = image_for(built.image, merged, user or project.text("user") or built.user, docker, making)
    argv, command = _arguments(project, merged, docker, image)
    labels = labels_of(making, built.entries if not built.label_in_image else None)
    guarded = guard_for(found, configuration, (), making, log)
    labels |= {**guarded.labels, OF_FOLDER: folder_label(making.labels)}
    made = Made(
        image if image != base or project.is_built else "", labels, environ_of_merged(merged), user,
        (*making.mounts, *guarded.mounts), verdict.final,
        texts_of(merged.get("entrypoints")),
    )  # fmt: skip
    services = _services(configuration, project.service)
    place.write(json.dumps(with_container(project, made, argv=argv, command=command)).encode(), services)
    docker.ask(*records.compose(docker, name, place), "--project-directory", folder, "up", "-d", *services, deadline_s=UP_S)
    container = _container(docker, name, project.service)
    guarded.link(docker, container)
    return container


def _files(configuration: Configuration, docker: Docker, environ: Mapping[str, str]) -> tuple[list[str], str | None]:
    assert configuration.place is not None
    written = configuration.config["dockerComposeFile"]
    return compose_files(written, os.path.dirname(configuration.place.path), docker.folder, environ)


def _read(configuration: Configuration, docker: Docker, files: list[str], env_file: str | None) -> Project:
    service = configuration.config.get("service")
    if not isinstance(service, str) or not service:
        raise ConfigError("dockerComposeFile needs service", remedy='write "service": "NAME", one of the compose file')
    return read_project(docker.compose_config(files, env_file), service)


def _judged(
    project: Project, folder: str, configuration: Configuration, docker: Docker, making: Making, name: str, log: Log
) -> Project:  # fmt: skip
    """The project, its ports bound as they may be.

    Raises:
        PolicyRefused: names everything that was not granted.
    """
    config = json.dumps(project.document).encode()
    ground = ground_of(configuration, policy.host_paths(config, folder))
    verdict = policy.judge(config, project.service, ground, making.grants, folder)
    for note in verdict.notes:
        log.warn(note)
    refuse(verdict.findings)
    refuse(foreign_volumes([project.volume(one, name) for one in verdict.volumes], docker, making, name))
    for service, source, other in exposed_mounts(project):
        why = f"the service {other} may write the folder above, and could put a link in its place"
        if not making.grants.allows(f"mount:{source}"):
            refuse([Finding(f"the mount of {source}", f"service {service}", why, f"mount:{source}")])
    if not making.grants.allows("compose:restart"):
        project, left_out = without_restart(project)
        for service in left_out:
            log.warn(f"service {service}: restart was left out: mounts would be resolved unseen (--grant compose:restart gives it)")
    return with_own_images(with_ports(project, verdict.ports), folder, name)


def _base(project: Project, docker: Docker, compose: Sequence[str]) -> str:
    """The image that the service is made of, built by compose where it is built: then it has a name of ours."""
    image = project.text("image")
    if image is None:
        raise ConfigError(f"service {project.service!r} has neither image nor build")
    if project.is_built:
        docker.ask(*compose, "build", project.service, deadline_s=UP_S)
    return image


def _arguments(project: Project, merged: Object, docker: Docker, image: str) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """For the start script, and the service's command where that has to change: a service keeps what it runs, unless that is overridden."""
    if merged.get("overrideCommand") is True:
        return (), ()
    entrypoint, command = project.argv("entrypoint"), project.argv("command")
    details = docker.image(image)
    if entrypoint is None:
        entrypoint = list_at(details, "Entrypoint")
        if command is None:
            return entrypoint, list_at(details, "Cmd")  # with an entrypoint of its own a service loses its image's command
    return entrypoint, None


def _services(configuration: Configuration, service: str) -> list[str]:
    """Those that are started; none named means all."""
    listed = configuration.config.get("runServices")
    names = [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []
    return [*names, *([service] if service not in names else [])] if names else []


def _free_name(name: str, folder: str, docker: Docker) -> str:
    """``name``, unless a project of another folder has it: then both would be one."""
    others = {image_labels(one).get(FOLDER) for one in docker.containers({PROJECT: name})}
    if others <= {folder, None}:
        return name
    return f"{name}-{hashlib.sha256(folder.encode()).hexdigest()[:8]}"


def _container(docker: Docker, name: str, service: str) -> str:
    found = docker.containers({PROJECT: name, SERVICE: service})
    if not found:
        raise EnvironmentFailed(f"compose started project {name!r}, and its service {service!r} has no container")
    value: Json = found[0]["Id"]
    return str(value)
