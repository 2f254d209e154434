"""From a configuration to an image that a container can be made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from orchestrator.devcontainer.engine import Docker
from orchestrator.devcontainer.features.resolve import FeatureSet, Fetch
from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.load import Configuration

if TYPE_CHECKING:
    from orchestrator.devcontainer.policy.grants import Grants

BUILD_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """``cache``: a folder of ours for what is temporary; ``fetch``: brings the files of features (``wanted.feature_cache``); ``log``: takes
    lines of output as they come; ``names``: of the user's own, to be tagged; ``labels``: to be added; ``cache_from``: besides the
    configuration's; ``deadline_s``: of one build; ``network``: of all RUN instructions (``docker build --network``), the features' too and
    whatever build.options say; None: the engine's default. ``aienv run`` builds with "none" unless more was granted."""

    cache: Path
    grants: "Grants"
    fetch: Fetch
    log: Callable[[str], None]
    names: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    no_cache: bool = False
    pull: bool = False
    cache_from: tuple[str, ...] = ()
    cache_to: str | None = None
    platform: str | None = None
    buildkit: Literal["auto", "never"] = "auto"
    deadline_s: float = BUILD_S
    network: str | None = None


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


def make_image(configuration: Configuration, features: FeatureSet | None, docker: Docker, how: How) -> Built:
    """Of a configuration with an image or a Dockerfile.

    Raises:
        ConfigError: it says something that makes no image.
        PolicyRefused: it asks for what was not granted.
        EnvironmentFailed: the build failed.
    """
    raise NotImplementedError


def extend(base: str, configuration: Configuration, features: FeatureSet | None, docker: Docker, how: How) -> Built:
    """On the image ``base``, which is here: what compose built or pulled for a service. Raises as ``make_image``."""
    raise NotImplementedError
