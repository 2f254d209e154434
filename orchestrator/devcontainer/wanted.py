"""The features that a configuration asks for, from the user's own cache and registries. No lock file is read or written."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.devcontainer.features.cache import Cache
from orchestrator.devcontainer.features.credentials import find
from orchestrator.devcontainer.features.oci import Registry
from orchestrator.devcontainer.features.resolve import FeatureSet, resolve_features
from orchestrator.devcontainer.features.transport import Transport
from orchestrator.devcontainer.jsonc import Json
from orchestrator.devcontainer.load import Configuration
from orchestrator.errors import ConfigError


def feature_cache(environ: Mapping[str, str], cache: Path, warn: Callable[[str], None]) -> Cache:
    """What brings features: from the user's cache, else from registries. ``cache``: the folder of what was fetched."""
    registry = Registry(Transport(environ), lambda host: find(host, environ), environ=environ)
    return Cache(cache, registry, warn)


def wanted_features(
    configuration: Configuration, additional: Mapping[str, Json], environ: Mapping[str, str], cache: Path, warn: Callable[[str], None]
) -> FeatureSet:
    """``cache``: the folder of what was fetched.

    Raises:
        ConfigError: a name, an option or a manifest is wrong, or features wait for each other.
        NotFound: a feature is not there.
        EnvironmentFailed: it cannot be fetched.
    """
    asked = configuration.config.get("features") or {}
    order = configuration.config.get("overrideFeatureInstallOrder") or []
    if not isinstance(asked, dict):
        raise ConfigError("features is no object", remedy='write "features": {"NAME": {"OPTION": "VALUE"}}')
    if not isinstance(order, list):
        raise ConfigError("overrideFeatureInstallOrder is no list")
    here = os.path.dirname(configuration.place.path) if configuration.place else os.getcwd()
    found = resolve_features(
        asked,
        config_folder=Path(here),
        workspace=Path(configuration.root or here),
        override_order=[one for one in order if isinstance(one, str)],
        additional=additional,
        fetch=feature_cache(environ, cache, warn),
        lock=None,
        frozen=False,
    )
    for warning in found.warnings:
        warn(warning)
    return found
