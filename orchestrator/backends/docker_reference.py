"""Names of images, as the distribution's reference grammar has them. Pure.

A name may come from a repository's files and becomes part of a path of the engine's API, so it is judged before it is sent.
"""

import re
from dataclasses import dataclass

from orchestrator.errors import EnvironmentFailed

_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?\.)+[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?|localhost|\[[a-fA-F0-9:]+\]"
_PORT_HOST = rf"(?:(?:{_HOST}|[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?):[0-9]{{1,5}}|{_HOST})"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<repository>(?:{_PORT_HOST}/)?{_PART}(?:/{_PART})*)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?"
    r"(?:@(?P<digest>[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-f]{32,128}))?"
)
_ID = re.compile(r"sha256:[0-9a-f]{64}")
_LONGEST_REPOSITORY = 255
_LONGEST = 512


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
    if len(text) <= _LONGEST:
        if _ID.fullmatch(text):
            return Reference(text, None)
        match = _REFERENCE.fullmatch(text)
        if match is not None and len(match["repository"]) <= _LONGEST_REPOSITORY:
            return Reference(match["repository"], match["digest"] or match["tag"] or "latest")
    raise EnvironmentFailed(
        f"{text[:80]!r} is no name of an image",
        remedy="a name is lower case, such as debian:12 or registry.example.org/team/app@sha256:...",
        code="image-name",
    )
