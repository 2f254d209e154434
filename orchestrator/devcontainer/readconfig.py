"""``read-configuration``: the configuration as it would be used, from the file, the container if there is one, and the image. It changes
nothing, but a missing image may be pulled."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

from orchestrator.devcontainer.compose import service as service_of
from orchestrator.devcontainer.composefiles import compose_files
from orchestrator.devcontainer.engine import Docker, container_environ, image_labels
from orchestrator.devcontainer.finding import Found, Wanted, Warn, find
from orchestrator.devcontainer.jsonc import BadJson, Json, Object, parse
from orchestrator.devcontainer.load import Configuration, load
from orchestrator.devcontainer.locate import read_file
from orchestrator.devcontainer.merge import merge
from orchestrator.devcontainer.metadata import entries_for_existing, entries_for_new, read_label
from orchestrator.devcontainer.stages import base_image, platform_arguments
from orchestrator.devcontainer.variables import container_pass, environ_of, substitute
from orchestrator.errors import ConfigError, UsageError

# As Go, and so an engine, names machines.
MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


class Features(Protocol):
    """Resolved ones: as ``featuresConfiguration`` prints them, and as entries of the label."""

    def configuration(self) -> Json: ...
    def metadata(self) -> Sequence[Object]: ...


class Resolve(Protocol):
    """Finds what features a configuration asks for.

    Raises:
        AienvError: one cannot be had.
    """

    def __call__(self, configuration: Configuration, additional: Mapping[str, Json]) -> Features: ...


@dataclass(frozen=True, slots=True)
class Request:
    wanted: Wanted
    features: bool = False
    merged: bool = False
    additional: Mapping[str, Json] = field(default_factory=dict)


def read_configuration(request: Request, environ: Mapping[str, str], docker: Docker, resolve: Resolve, warn: Warn) -> Object:
    """What is printed.

    Raises:
        AienvError: the file cannot be understood; or what was asked for needs an image, a container or a feature that cannot be had.
    """
    configuration = load(request.wanted.file, environ)
    for warning in configuration.warnings:
        warn(warning)
    found = find(request.wanted, configuration, docker, warn)
    configuration = found.known(configuration)
    features = None
    if request.features or (request.merged and found.container is None):
        features = _features(request, configuration, resolve)
    document: Object = {"configuration": configuration.placed(configuration.config)}
    if configuration.workspace is not None:
        document["workspace"] = configuration.workspace.as_json()
    if features is not None:
        document["featuresConfiguration"] = features.configuration()
    if request.merged:
        entries = entries_of(found, configuration, features.metadata() if features else (), docker, environ, warn)
        document["mergedConfiguration"] = configuration.placed(merge(configuration.config, entries))
    return document


def additional_features(text: str | None) -> Mapping[str, Json]:
    """The value of ``--additional-features``.

    Raises:
        UsageError: it is no JSON object.
    """
    if text is None:
        return {}
    try:
        value = parse(text).value
    except BadJson as problem:
        raise UsageError(f"--additional-features is no JSON: {problem}") from None
    if not isinstance(value, dict):
        raise UsageError("--additional-features is no JSON object")
    return value


# --- what is merged ------------------------------------------------------------------------------------------------------------


def _features(request: Request, configuration: Configuration, resolve: Resolve) -> Features | None:
    if not configuration.config.get("features") and not request.additional:
        return None
    return resolve(configuration, request.additional)


def entries_of(
    found: Found, configuration: Configuration, features: Sequence[Object], docker: Docker, environ: Mapping[str, str], warn: Warn
) -> tuple[Object, ...]:
    """Those of the label, of features and of the file, variables replaced; the weakest first."""
    own = [configuration.substituted(one) for one in features]
    if found.container is None:
        base = _read_label(_labels_of_image(configuration, docker, environ), configuration, warn)
        return entries_for_new(base, own, configuration.config)
    labels = image_labels(found.container)
    entries = entries_for_existing(labels, _read_label(labels, configuration, warn), configuration.config, found.labels, own)
    last = container_pass(environ_of(container_environ(found.container)))
    return tuple(cast(Object, substitute(entry, last)) for entry in entries)


def _read_label(labels: Mapping[str, str], configuration: Configuration, warn: Warn) -> list[Object]:
    label = read_label(labels)
    if label.problem:
        warn(label.problem)
    return [configuration.substituted(entry) for entry in label.entries]


def _labels_of_image(configuration: Configuration, docker: Docker, environ: Mapping[str, str]) -> Mapping[str, str]:
    """Those of the image that the container will stand on. Of a Dockerfile: its base's; what it sets itself is not known yet."""
    image = _base(configuration, docker, environ)
    return {} if image is None or image == "scratch" else image_labels(docker.image(image))


def _base(configuration: Configuration, docker: Docker, environ: Mapping[str, str]) -> str | None:
    config, folder = configuration.config, os.path.dirname(configuration.place.path) if configuration.place else docker.folder
    build = config.get("build")
    table = build if isinstance(build, dict) else {}
    name = config["dockerFile"] if "dockerFile" in config else table.get("dockerfile")
    if isinstance(name, str):
        given = table.get("args")
        arguments = {key: value for key, value in given.items() if isinstance(value, str)} if isinstance(given, dict) else {}
        target = table.get("target")
        return _base_of(os.path.normpath(os.path.join(folder, name)), arguments, target if isinstance(target, str) else None)
    if "dockerComposeFile" in config:
        files, env_file = compose_files(config["dockerComposeFile"], folder, docker.folder, environ)
        service = service_of(docker.compose_config(files, env_file), str(config.get("service")), files[0])
        return service.image if service.dockerfile is None else _base_of(service.dockerfile, service.arguments, service.target)
    image = config.get("image")
    if not isinstance(image, str) or not image:
        remedy = "give image, build.dockerfile or dockerComposeFile"
        raise ConfigError("No image information specified in devcontainer.json.", remedy=remedy)
    return image


def _base_of(path: str, arguments: Mapping[str, str], target: str | None) -> str | None:
    data = read_file(path)
    if data is None:
        raise ConfigError(f"Dockerfile ({path}) not found.")
    machine = platform.machine()
    known = platform_arguments("linux", MACHINES.get(machine, machine))
    return base_image(data.decode("utf-8", "replace"), arguments, target, known)
