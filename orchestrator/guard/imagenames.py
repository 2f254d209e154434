"""Names of images: one canonical form per image, as Docker itself reads names, and nothing that is not a name. Pure.

    busybox -> docker.io/library/busybox:latest        ghcr.io/a/b@sha256:... -> itself        debian:12@sha256:... -> without its tag

Names come from clients and from a repository's files, and become parts of paths and queries of the engine's API.
"""

import re
from dataclasses import dataclass

from orchestrator.guard.calls import Denied, Session, deny

DEFAULT_HOST, DEFAULT_TAG = "docker.io", "latest"
OFFICIAL = "library/"
MAX_REPOSITORY, MAX_NAME = 255, 512
SHOWN_NAMES = 8

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_LABEL}\.)+{_LABEL}|localhost|\[[a-fA-F0-9:]+\]"
_PORT_HOST = rf"(?:(?:{_HOST}|{_LABEL}):[0-9]{{1,5}}|{_HOST})"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_NAME = re.compile(
    rf"(?:(?P<host>{_PORT_HOST})/)?(?P<path>{_PART}(?:/{_PART})*)(?::(?P<tag>{TAG}))?"
    r"(?:@(?P<digest>[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-f]{32,128}))?",
    re.ASCII,
)
_FULL_ID = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.ASCII)
_SHORT_ID = re.compile(r"(?:sha256:)?[0-9a-f]{2,64}", re.ASCII)
_BEGINNING = re.compile(r"[0-9a-f]{12,64}", re.ASCII)
_ALGORITHMS = ("sha256", "sha384", "sha512")  # what follows as a tag reads as an id
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Name:
    """The parts of a name as written; None where one is not."""

    host: str | None
    path: str
    tag: str | None
    digest: str | None

    @property
    def repository(self) -> str:
        return f"{self.host}/{self.path}" if self.host else self.path


def parse_name(text: str) -> Name | None:
    """None: it is no name of an image (an id is none either)."""
    match = _NAME.fullmatch(text) if len(text) <= MAX_NAME else None
    if match is None or _FULL_ID.fullmatch(text):
        return None
    name = Name(match["host"], match["path"], match["tag"], match["digest"])
    return name if len(name.repository) <= MAX_REPOSITORY else None


def canonical(text: str) -> str:
    """Host, path, and digest or else tag, all of them written.

    Raises:
        Denied: it is no name.
    """
    name = parse_name(text)
    host, path = (name.host or DEFAULT_HOST, name.path) if name else ("", "")
    host = DEFAULT_HOST if host == "index.docker.io" else host
    if host == DEFAULT_HOST and "/" not in path:
        path = OFFICIAL + path
    known = name is not None and (name.digest is None or _DIGEST.fullmatch(name.digest)) and not _FULL_ID.fullmatch(name.path)
    if name is None or not known or len(f"{host}/{path}") > MAX_REPOSITORY:
        allowed = "a name such as debian:12 or registry.example.org/team/app:1"
        raise deny("image.name", f"{text[:80]!r} is no name of an image", allowed=allowed, status=400)
    return f"{host}/{path}@{name.digest}" if name.digest else f"{host}/{path}:{name.tag or DEFAULT_TAG}"


def is_id(text: str) -> bool:
    """Whether an engine may read it as an image's id or the beginning of one. It may be a name, too; for the engine the name wins."""
    return bool(_SHORT_ID.fullmatch(text))


def id_like(reference: str) -> bool:
    """Whether a canonical name would stand before an image's id that begins so, as people and clients write ids."""
    short = familiar(repository(reference))
    return short in _ALGORITHMS or bool(_BEGINNING.fullmatch(short))


def full_id(text: str) -> str | None:
    """``sha256:`` and 64 digits, from either way of writing a whole id; else None."""
    match = _FULL_ID.fullmatch(text)
    return f"sha256:{match[1]}" if match else None


def split(reference: str) -> tuple[str, str]:
    """Repository, and digest or tag, of a canonical name."""
    repository, at, digest = reference.partition("@")
    if at:
        return repository, digest
    repository, _, tag = reference.rpartition(":")
    return repository, tag


def repository(reference: str) -> str:
    """The canonical name without tag or digest."""
    return split(reference)[0]


def familiar(reference: str) -> str:
    """A canonical name as people write it."""
    short = reference.removeprefix(f"{DEFAULT_HOST}/")
    return short.removeprefix(OFFICIAL) if short != reference else reference


def refuse_image(text: str, session: Session) -> Denied:
    """For an image that is on no list. An id has no remedy: nobody can tell from it what it is."""
    names = [familiar(image.reference) for image in session.plan.images]
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    allowed = ", ".join(names[:SHOWN_NAMES]) + more if names else "images that are built here"
    shown = text[:80]
    remedy = None
    if parse_name(text) is not None and not (is_id(text) and ":" not in text and len(text) >= 12):
        shown = familiar(canonical(text)) if _canonical_or_none(text) else shown
        remedy = f"--allow-image {shown}, or guard.images: [{shown}]"
    return deny("image.not-allowed", f"the image {shown!r} is not on this session's list", allowed=allowed, remedy=remedy)


def _canonical_or_none(text: str) -> str | None:
    try:
        return canonical(text)
    except Denied:
        return None
