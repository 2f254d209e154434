"""What a client may see, and the ways of cutting an answer down to it. Pure.

An answer is read by tables, closed by default: a member that no table names is left out, also when a newer engine invents it. Members that
are named and hold nothing of others pass as they are.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from orchestrator.guard.calls import Denied, Json, Object, PathMap, Session, Shown
from orchestrator.guard.imagenames import canonical, repository

OUR_LABELS = "dev.aienv."
BRIDGE = "bridge"  # what clients call the session's own network: it is what they get when they name none
HIDDEN = "(hidden)"
MAX_MESSAGE = 4096
# Where engines keep their things; the end is a word's, so /run/docker.sock is none of them.
ENGINE_FOLDERS = ("/var/lib/docker", "/var/lib/containerd", "/run/docker", "/var/run/docker", "/run/containerd")

Ports = Mapping[int, tuple[tuple[str, int], ...]]  # port of the container -> where clients reach it
C = TypeVar("C")
Table = Mapping[str, Callable[[Json, C], Json]]

_HEX = re.compile(r"(?<![0-9A-Za-z])(?:sha256:)?[0-9a-f]{12,64}(?![0-9A-Za-z])", re.ASCII)
_PATH_END = r"""(?=[/\s"'`:,;)\]]|$)"""
_PATH_REST = r"""[^\s"'`:,;)\]]*"""


@dataclass(frozen=True, slots=True)
class ShownContainer:
    """What a client asked for, and where the ports are that are open now."""

    shown: Shown
    ports: Ports = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """What the server knows of a session. ``adopted``: containers of the project that were there before; ``gone``: ids that were ours.

    ``networks``: id -> name, of the session's own beside ``session.network``. ``images``: ids, pinned or own; ``tags``: canonical names.
    ``hidden``: folders of the machine that no message may name.
    """

    session: Session
    containers: Mapping[str, ShownContainer] = field(default_factory=dict)
    adopted: frozenset[str] = frozenset()
    networks: Mapping[str, str] = field(default_factory=dict)
    internal: frozenset[str] = frozenset()  # ids of those that a client wanted to be internal
    volumes: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    hidden: tuple[str, ...] = ()

    def has_container(self, full_id: Json) -> bool:
        return among(full_id, self.containers) or among(full_id, self.adopted)

    def had_container(self, full_id: Json) -> bool:
        return self.has_container(full_id) or among(full_id, self.gone)

    def network_name(self, full_id: Json) -> str | None:
        """As clients know it; None: not for them."""
        if full_id and full_id == self.session.network:
            return BRIDGE
        return self.networks.get(full_id) if isinstance(full_id, str) else None

    def has_tag(self, name: Json) -> bool:
        """Of a name with a tag, whether it may be seen; of one with a digest, whether its repository may."""
        if not isinstance(name, str):
            return False
        try:
            whole = canonical(name)
        except Denied:  # <none>:<none>
            return False
        return whole in self.tags or ("@" in whole and repository(whole) in {repository(tag) for tag in self.tags})

    def knows(self, digits: str) -> bool:
        """Whether an id, or the beginning of one, is of something that may be seen."""
        ids = (*self.containers, *self.adopted, *self.networks, *self.gone, *self.volumes, self.session.network or "")
        return any(one.startswith(digits) for one in ids) or any(one.startswith(f"sha256:{digits}") for one in self.images)

    def inside(self, host: Json) -> str | None:
        """A path of the machine as clients know it; None: they do not."""
        if not isinstance(host, str):
            return None
        for one in self._maps():
            if host == one.host or host.startswith(one.host.rstrip("/") + "/"):
                return one.inside.rstrip("/") + host[len(one.host.rstrip("/")) :] or "/"
        return None

    def _maps(self) -> list[PathMap]:
        return sorted(self.session.maps, key=lambda one: len(one.host), reverse=True)

    def scrub(self, text: str) -> str:
        """A sentence of the engine, without paths of the machine and ids of others' things."""
        text = self.scrub_paths(text[:MAX_MESSAGE])
        if self.session.network_name and self.session.own_network:
            text = text.replace(self.session.network_name, BRIDGE)
        return _HEX.sub(lambda match: match[0] if self.knows(match[0].removeprefix("sha256:")) else HIDDEN, text)

    def scrub_paths(self, text: str) -> str:
        """Without paths of the machine."""
        for one in self._maps():
            text = re.sub(re.escape(one.host) + _PATH_END, lambda match, one=one: one.inside, text)  # type: ignore[misc]
        for folder in (*self.hidden, *ENGINE_FOLDERS, *([self.session.stand_in] if self.session.stand_in else [])):
            text = re.sub(re.escape(folder) + _PATH_END + _PATH_REST, HIDDEN, text)
        return text


# --- cutting ---------------------------------------------------------------------------------------------------------------------


def among(value: Json, names: Collection[str]) -> bool:
    """Of a value that may be anything."""
    return isinstance(value, str) and value in names


def chosen(answer: Json, table: Table[C], context: C) -> Object:
    """The members that the table names, each as its rule shows it."""
    if not isinstance(answer, dict):
        return {}
    return {key: table[key](value, context) for key, value in answer.items() if key in table}


def keep(value: Json, context: object) -> Json:
    return value


def constant(shown: Json) -> Callable[[Json, object], Json]:
    """Whatever the engine says."""
    return lambda value, context: shown


def keeping(*names: str) -> Mapping[str, Callable[[Json, object], Json]]:
    return dict.fromkeys(names, keep)


def labels(value: Json, context: object) -> Json:
    """Without ours."""
    return {key: one for key, one in value.items() if not key.startswith(OUR_LABELS)} if isinstance(value, dict) else value


def objects(value: Json) -> list[Object]:
    """The objects of a list, where it is one."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def strings(value: Json) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
