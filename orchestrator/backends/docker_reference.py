"""Names of images, apart. Pure.

A name may come from a repository's files and becomes part of a path of the engine's API, so it is judged before it is sent.
"""

from dataclasses import dataclass

from orchestrator.errors import EnvironmentFailed
from orchestrator.guard.imagenames import full_id, parse_name


@dataclass(frozen=True, slots=True)
class Reference:
    """``version``: the digest, else the tag, else ``latest``; None for a bare id, which no registry knows."""

    repository: str
    version: str | None


def parse_reference(text: str) -> Reference:
    """Take a name apart.

    Raises:
        EnvironmentFailed: it is no name of an image.
    """
    if text.startswith("sha256:") and full_id(text) is not None:
        return Reference(text, None)
    if (name := parse_name(text)) is not None:
        return Reference(name.repository, name.digest or name.tag or "latest")
    raise EnvironmentFailed(
        f"{text[:80]!r} is no name of an image",
        remedy="a name is lower case, such as debian:12 or registry.example.org/team/app@sha256:...",
        code="image-name",
    )
