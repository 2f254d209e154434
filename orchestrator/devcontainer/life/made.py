"""What makes images and containers, from the options of a command: for ``up``, ``build`` and ``prebuild``."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, cast

from orchestrator.backends.processes import alive, identify, parse
from orchestrator.devcontainer.engine import image_labels
from orchestrator.devcontainer.features.cache import Cache
from orchestrator.devcontainer.features.resolve import FeatureSet
from orchestrator.devcontainer.ids import MAKER
from orchestrator.devcontainer.images import command as images
from orchestrator.devcontainer.images.image import How as ImagesHow
from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.devcontainer.life import prebuilt
from orchestrator.devcontainer.life.call import STOP_S
from orchestrator.devcontainer.life.composition import base_of_service, make_project
from orchestrator.devcontainer.life.hooks import How
from orchestrator.devcontainer.life.known import read
from orchestrator.devcontainer.life.making import Making, make_container, user_mounts
from orchestrator.devcontainer.life.prebuilt import Prebuilds
from orchestrator.devcontainer.life.up import Request, up
from orchestrator.devcontainer.life.whole import WholeCall
from orchestrator.devcontainer.load import Configuration
from orchestrator.devcontainer.readconfig import additional_features
from orchestrator.devcontainer.wanted import feature_cache, wanted_features
from orchestrator.errors import UsageError


def make(call: WholeCall, configuration: Configuration, labels: Mapping[str, str], *, prebuilt: bool = True) -> str:
    """The id of a new container. ``prebuilt``: one that fits may be taken.

    Raises:
        PolicyRefused: names everything that was not granted; nothing was made.
        ConfigError, EnvironmentFailed: it could not be made.
    """
    call.rim.records.sweep(call.rim.docker.ask(call.rim.docker.command, "ps", "-aq", "--no-trunc").split())
    making = _making(call, labels)
    if not prebuilt:
        making = replace(making, prebuilds=None)
    features = _resolve(call, configuration)
    if "dockerComposeFile" in configuration.config:
        return make_project(configuration, features, call.rim.docker, call.environ, making, call.rim.records, call.log)
    return make_container(configuration, features, call.rim.docker, making, call.log)


def build(call: WholeCall) -> Object:
    """The image, and its names.

    Raises:
        PolicyRefused: something was not granted.
        AienvError: it could not be built.
    """
    configuration, _ = read(call.wanted, call.grants, call.rim)
    how = images.how_of(call.parsed, call.paths.cache / "devcontainer", call.grants, _fetch(call), call.log.info)
    service = None
    if "dockerComposeFile" in configuration.config:
        making = replace(_making(call, {}), images=how)

        def service() -> str:
            return base_of_service(configuration, call.rim.docker, call.environ, making, call.rim.records, call.log).image

    return images.build(configuration, _resolve(call, configuration), call.rim.docker, how, call.parsed, service)


def prebuild(call: WholeCall) -> Object:
    """An image with features and the first hooks behind it, which ``up`` takes from then on.

    Raises:
        UsageError: for compose there is none.
        PolicyRefused: something was not granted.
        AienvError: it could not be built, or a hook failed.
    """
    docker = call.rim.docker
    _sweep_makers(call)
    me = identify(os.getpid())
    assert me is not None
    maker = me.as_text().strip().replace(" ", "-")
    file = replace(call.wanted, id_labels=(f"{MAKER}={maker}",))
    configuration, _ = read(file, call.grants, call.rim)
    if "dockerComposeFile" in configuration.config:
        raise UsageError("there are no prebuilds of compose projects", remedy="build the service's image with compose")

    def made(configuration: Configuration, labels: Mapping[str, str]) -> str:
        return make(call, configuration, labels, prebuilt=False)

    request = Request(file, call.grants, made, call.settings(How(prebuild=True)))
    try:
        up(request, call.rim, call.reached)
        assert call.reached.container is not None
        assert call.reached.merged is not None
        container = docker.container(call.reached.container)
        config = container.get("Config")
        user = str(config.get("User") or "") if isinstance(config, dict) else ""
        name = prebuilt.name_of(str(container["Image"]), call.reached.merged, user, configuration)
        prebuilt.commit(docker, call.reached.container, name)
    finally:
        if call.reached.container is not None:
            docker.ask(docker.command, "rm", "-f", "-v", call.reached.container, deadline_s=STOP_S)
            call.rim.records.forget(call.reached.container)
    return {"outcome": "success", "imageName": [name]}


def _sweep_makers(call: WholeCall) -> None:
    """Containers of prebuilds whose makers were killed."""
    docker = call.rim.docker
    for one in docker.containers_with(f"label={MAKER}"):
        maker = parse(image_labels(one).get(MAKER, "").replace("-", " "))
        if maker is not None and not alive(maker):
            docker.ask(docker.command, "rm", "-f", "-v", str(one["Id"]), deadline_s=STOP_S)


def _making(call: WholeCall, labels: Mapping[str, str]) -> Making:
    how = ImagesHow(
        cache=call.paths.cache / "devcontainer",
        grants=call.grants,
        fetch=_fetch(call),
        log=call.log.info,
        no_cache=call.switch("build-no-cache"),
        cache_from=call.texts("cache-from"),
        cache_to=call.text("cache-to"),
        omit_remote_env=call.switch("omit-config-remote-env-from-metadata"),
        omit_customizations=call.switch("skip-persisting-customizations-from-features"),
        buildkit=cast(Literal["auto", "never"], call.text("buildkit") or "auto"),
    )
    return Making(
        labels,
        call.grants,
        how,
        user_mounts(call.texts("mount")),
        cast(Literal["never", "on", "off"], call.text("update-remote-user-uid-default") or "on"),
        cast(Literal["all", "detect", "none"], call.text("gpu-availability") or "detect"),
        call.rim.guards,
        prebuilds(call),
    )


def _resolve(call: WholeCall, configuration: Configuration) -> FeatureSet | None:
    additional: Mapping[str, Json] = additional_features(call.text("additional-features"))
    if not configuration.config.get("features") and not additional:
        return None
    cache, lock = call.paths.cache / "features", images.lock_of(call.parsed)
    return wanted_features(configuration, additional, call.environ, cache, call.log.warn, lock)


def _fetch(call: WholeCall) -> Cache:
    return feature_cache(call.environ, call.paths.cache / "features", call.log.warn)


def prebuilds(call: WholeCall) -> Prebuilds:
    """Those that there are."""
    return Prebuilds(call.rim.docker, call.paths.state / "devcontainers" / "prebuilds")
