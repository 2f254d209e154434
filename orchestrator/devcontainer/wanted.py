"""The features that a configuration asks for, from the user's own cache and registries, as its lock file pins them."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from orchestrator.devcontainer.features import lockfile
from orchestrator.devcontainer.features.cache import Cache
from orchestrator.devcontainer.features.credentials import find
from orchestrator.devcontainer.features.lockfile import LockFile
from orchestrator.devcontainer.features.oci import Registry
from orchestrator.devcontainer.features.resolve import FeatureSet, resolve_features
from orchestrator.devcontainer.features.transport import Transport
from orchestrator.devcontainer.jsonc import Json
from orchestrator.devcontainer.load import Configuration
from orchestrator.errors import ConfigError

Lock = Literal["honour", "ignore", "frozen"]


def feature_cache(environ: Mapping[str, str], cache: Path, warn: Callable[[str], None], closed: str = "") -> Cache:
    """What brings features and their files. ``cache``: the folder of what was fetched; ``closed``: see ``transport.Transport``."""
    return Cache(cache, Registry(Transport(environ, closed=closed), lambda host: find(host, environ), environ=environ), warn)


def wanted_features(
    configuration: Configuration,
    additional: Mapping[str, Json],
    environ: Mapping[str, str],
    cache: Path,
    warn: Callable[[str], None],
    lock: Lock = "honour",
    closed: str = "",
) -> FeatureSet:
    """``cache``: the folder of what was fetched. ``lock``: take what the lock file pins, and the rest as it is now; or look at none; or
    take just what it says. ``closed``: see ``transport.Transport``.

    Raises:
        ConfigError: a name, an option, a manifest or the lock file is wrong, or features wait for each other.
        NotFound: a feature is not there. PolicyRefused: it is of this machine's own network, which is closed.
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
        fetch=feature_cache(environ, cache, warn, closed),
        lock=None if lock == "ignore" else _read(configuration),
        frozen=lock == "frozen",
    )
    for warning in found.warnings:
        warn(warning)
    return found


def write_lock(configuration: Configuration, features: FeatureSet) -> Path:
    """Write what was taken beside the configuration: only where the user asked for it. Returns the file's path.

    Raises:
        ConfigError: there is no place for it, or it cannot be written.
    """
    if configuration.place is None:
        raise ConfigError("a lock file lies beside a configuration, and there is none")
    path = lockfile.path_beside(Path(configuration.place.path))
    try:
        lockfile.write(path, features.lock())
    except OSError as problem:
        raise ConfigError(f"{path} cannot be written: {problem.strerror}") from None
    return path


def _read(configuration: Configuration) -> LockFile | None:
    place = configuration.place
    return None if place is None else lockfile.read(lockfile.path_beside(Path(place.path)))
