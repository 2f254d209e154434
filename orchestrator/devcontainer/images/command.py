"""``aienv devcontainer build``: the image, and what the reference prints of it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, cast

from orchestrator.devcontainer.engine import Docker
from orchestrator.devcontainer.features.resolve import FeatureSet, Fetch
from orchestrator.devcontainer.images.image import How, extend, make_image
from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.load import Configuration
from orchestrator.devcontainer.options import Parsed
from orchestrator.devcontainer.policy.grants import Grants
from orchestrator.devcontainer.wanted import Lock, write_lock
from orchestrator.errors import ConfigError, UsageError

PUSH_S = 1800.0


def how_of(parsed: Parsed, cache: Path, grants: Grants, fetch: Fetch, log: Callable[[str], None]) -> How:
    """From the words of a command line that were read with ``options.BUILD``.

    Raises:
        UsageError, ConfigError: they ask for what there is not.
    """
    if parsed.text("output") is not None and parsed.switch("push"):
        raise ConfigError("--push true cannot be used with --output")
    if parsed.text("output") is not None:
        raise ConfigError("--output is not there: the image stays in the engine", remedy="docker save writes it to a file")
    if parsed.switch("push") and not parsed.texts("image-name"):
        raise UsageError("--push needs a name to push", remedy="give --image-name REGISTRY/NAME:TAG")
    return How(
        cache=cache,
        grants=grants,
        fetch=fetch,
        log=log,
        names=parsed.texts("image-name"),
        labels=_labels(parsed.texts("label")),
        labelled=True,
        no_cache=parsed.switch("no-cache"),
        cache_from=parsed.texts("cache-from"),
        cache_to=parsed.text("cache-to"),
        platform=parsed.text("platform"),
        omit_customizations=parsed.switch("skip-persisting-customizations-from-features"),
        buildkit=cast(Literal["auto", "never"], parsed.text("buildkit") or "auto"),
    )


def lock_of(parsed: Parsed) -> Lock:
    """What ``wanted_features`` does with the lock file.

    Raises:
        UsageError: two wishes that cannot both be.
    """
    for other in ("frozen-lockfile", "write-lockfile"):
        if parsed.switch("no-lockfile") and other in parsed.given and parsed.switch(other):
            raise UsageError(f"Arguments no-lockfile and {other} are mutually exclusive")
    if parsed.switch("frozen-lockfile"):
        return "frozen"
    return "ignore" if parsed.switch("no-lockfile") else "honour"


def build(
    configuration: Configuration,
    features: FeatureSet | None,
    docker: Docker,
    how: How,
    parsed: Parsed,
    service_image: Callable[[], str] | None = None,
) -> Object:
    """What is printed. ``service_image``: for compose: builds or pulls the service's own image and names it, once it was judged.

    Raises:
        ConfigError: the configuration makes no image.
        PolicyRefused: it asks for what was not granted.
        EnvironmentFailed: the build or the push failed.
    """
    dockerfile = configuration.config.get("build") or configuration.config.get("dockerFile")
    if how.cache_to and (service_image is not None or not dockerfile):
        how.log("--cache-to changes nothing here: it is for the build of a Dockerfile, and the configuration names none")
    if service_image is None:
        built = make_image(configuration, features, docker, how)
    else:
        built = extend(service_image(), configuration, features, docker, how)
    if parsed.switch("write-lockfile") and not parsed.switch("frozen-lockfile") and features is not None:
        how.log(f"{write_lock(configuration, features)} was written")
    for name in how.names if parsed.switch("push") else ():
        docker.ask(docker.command, "push", "--", name, deadline_s=PUSH_S)
    return {"outcome": "success", "imageName": [*(how.names or (built.image,))]}


def _labels(words: tuple[str, ...]) -> Mapping[str, str]:
    """As docker reads them: a name alone has an empty value."""
    pairs = (word.partition("=") for word in words)
    return {name: value for name, _, value in pairs if name}
