"""What ``aienv images`` does: build, list and remove what is ours, nothing else."""

import contextlib
import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from orchestrator.errors import EnvironmentFailed, NotFound, UsageError
from orchestrator.images import base, toolbox
from orchestrator.images.base import ImageEngine, Progress
from orchestrator.images.toolbox import Builder

LABEL = "dev.aienv.image"
DEVCONTAINERS = "aienv-devcontainer"
BUILDABLE = ("base", "toolbox")


class StoreEngine(ImageEngine, Builder, Protocol):
    """What is needed of an engine."""

    def images(self, label: str) -> list[dict[str, Any]]: ...

    def images_named(self, pattern: str) -> list[dict[str, Any]]: ...

    def remove_image(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class StoredImage:
    """``kind``: base, or what else carries our label; ``created``: seconds since 1970."""

    name: str
    kind: str
    id: str
    size_bytes: int
    created: int


def build(name: str, engine: StoreEngine | None, cache: Path, say: Progress) -> str:
    """Make ``base`` (in the engine) or ``toolbox`` (in the cache) anew. Returns the image's name or the tree's path.

    Raises:
        UsageError: another name. EnvironmentFailed: it cannot be made.
    """
    if name == "toolbox":
        return str(toolbox.ensure(cache, say, engine=engine, rebuild=True))
    if name == "base" and engine is not None:
        return base.build(engine, cache, say).name
    raise UsageError(f"unknown image {name!r}", remedy=f"there are: {', '.join(BUILDABLE)}")


def list_images(engine: StoreEngine) -> tuple[StoredImage, ...]:
    """All images with our label, and those under the names that dev containers have, the newest first."""
    found = [_stored(name, image) for image in engine.images(LABEL) for name in _names(image)]
    for image in engine.images_named(f"{DEVCONTAINERS}/*"):
        found += [replace(_stored(name, image), kind="devcontainer") for name in _names(image) if name.startswith(f"{DEVCONTAINERS}/")]
    return tuple(sorted(found, key=lambda image: (-image.created, image.name)))


def remove(name: str, engine: StoreEngine) -> StoredImage:
    """Remove one image by its name or id.

    Raises:
        NotFound: none of ours has that name. EnvironmentFailed: it is in use.
    """
    for image in list_images(engine):
        if name in (image.name, image.id):
            engine.remove_image(image.name)
            return image
    raise NotFound(f"no image of aienv is called {name!r}", remedy="aienv images ls shows what there is")


def remove_matching(pattern: str, engine: StoreEngine) -> tuple[StoredImage, ...]:
    """Remove those of ours whose names match, ``*`` for any text; what is in use stays.

    Raises:
        NotFound: there is none.
    """
    gone: list[StoredImage] = []
    for image in list_images(engine):
        if fnmatch.fnmatchcase(image.name, pattern):
            with contextlib.suppress(EnvironmentFailed):
                engine.remove_image(image.name)
                gone.append(image)
    if not gone:
        raise NotFound(f"no image of aienv matches {pattern!r}, or all that do are in use", remedy="aienv images ls shows what there is")
    return tuple(gone)


def _names(image: Mapping[str, Any]) -> list[str]:
    """Its tags; its id when it has none, which older engines write in a way of their own."""
    return [str(name) for name in image.get("RepoTags") or () if name != "<none>:<none>"] or [str(image["Id"])]


def _stored(name: str, image: Mapping[str, Any]) -> StoredImage:
    labels = image.get("Labels") or {}
    return StoredImage(name, str(labels.get(LABEL, "?")), str(image["Id"]), int(image.get("Size") or 0), int(image.get("Created") or 0))
