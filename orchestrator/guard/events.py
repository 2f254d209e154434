"""Events: one JSON object after the other, of which clients see those of their own things. Pure.

What an event tells of is decided when it comes: an id that was never seen here is somebody else's. The engine tells of a container before
it answers who made it; such an event is known by our label, which no client can write.
"""

import json
from collections.abc import Callable, Mapping
from typing import cast

from orchestrator.guard.calls import Json, Object
from orchestrator.guard.view import OUR_LABELS, Table, View, among, chosen, keeping
from orchestrator.model.guard import MADE, ROLE, RUN

MAX_EVENT_BYTES = 1 << 20  # labels make an event long; what is longer is left out


class EventFilter:
    """A stream of events on its way to the client (``wire.bodies.Filter``). ``view``: what is known at the moment.

    An engine that refuses answers one object with a message, under a length that must stay: it is filled up with blanks.
    """

    def __init__(self, view: Callable[[], View]) -> None:
        self._view = view
        self._objects = Objects(MAX_EVENT_BYTES)

    def feed(self, data: bytes) -> bytes:
        return b"".join(shown + b"\n" for one in self._objects.feed(data) if (shown := self.line(one)) is not None)

    def finish(self) -> bytes:
        return b""

    def line(self, data: bytes) -> bytes | None:
        """One event as the client sees it; None: not at all, as everything that is none."""
        try:
            event = cast(Json, json.loads(data))
        except (ValueError, RecursionError):
            return None
        if not isinstance(event, dict):
            return None
        if set(event) == {"message"}:
            return _refusal(str(event["message"]), len(data), self._view())
        shown = show_event(event, self._view())
        return None if shown is None else json.dumps(shown, separators=(",", ":")).encode()


def _refusal(message: str, length: int, view: View) -> bytes | None:
    text = view.scrub(message)
    while text and len(json.dumps({"message": text})) > length:
        text = text[:-1]
    return json.dumps({"message": text}).encode().ljust(length)


class Objects:
    """Cuts a stream into its JSON objects, whatever stands between them. An object of more than ``limit`` bytes is left out."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()
        self._depth = 0
        self._string = self._escaped = self._skipping = False

    def feed(self, data: bytes) -> list[bytes]:
        """Those that are whole now."""
        found = []
        start = 0
        for at, byte in enumerate(data):
            if self._string:
                if self._escaped:
                    self._escaped = False
                elif byte == 0x5C:
                    self._escaped = True
                elif byte == 0x22:
                    self._string = False
            elif byte == 0x22:
                self._string = self._depth > 0
            elif byte == 0x7B:
                if self._depth == 0:
                    start = at
                self._depth += 1
            elif byte == 0x7D and self._depth > 0:
                self._depth -= 1
                if self._depth == 0:
                    found += self._whole(data[start : at + 1])
        if self._depth > 0:
            self._hold(data[start:])
        return found

    def _hold(self, part: bytes) -> None:
        self._skipping = self._skipping or len(self._held) + len(part) > self._limit
        if self._skipping:
            self._held.clear()
        else:
            self._held += part

    def _whole(self, part: bytes) -> list[bytes]:
        self._hold(part)
        whole, skipped = bytes(self._held), self._skipping
        self._held.clear()
        self._skipping = False
        return [] if skipped else [whole]


# --- one event -------------------------------------------------------------------------------------------------------------------


def show_event(event: Object, view: View) -> Object | None:
    """None: it is not the client's. Kinds that are not named here are the engine's own, or swarm's."""
    actor = event.get("Actor")
    attributes = actor.get("Attributes") if isinstance(actor, dict) else None
    if not isinstance(actor, dict) or not (attributes is None or isinstance(attributes, dict)):
        return None
    kind, subject = event.get("Type"), actor.get("ID")
    judge = _KINDS.get(kind) if isinstance(kind, str) else None
    if judge is None or not isinstance(subject, str):
        return None
    told = judge(subject, attributes or {}, view)
    if told is None:
        return None
    shown = chosen(event, EVENT, view)
    if "from" in shown:
        shown["from"] = told.get("image", "")
    return {**shown, "Actor": {"ID": subject, "Attributes": told}}


def _container(subject: str, attributes: Object, view: View) -> Object | None:
    if not (view.had_container(subject) or _is_ours(attributes, view)):
        return None
    told: Object = {key: value for key, value in attributes.items() if not key.startswith(OUR_LABELS)}
    made = view.containers.get(subject)
    if made is not None and made.shown.image and "image" in told:
        told["image"] = made.shown.image
    if not view.has_tag(told.get("imageRef")):
        told.pop("imageRef", None)  # of a commit, which may be somebody else's
    if not among(told.get("imageID"), view.images):
        told.pop("imageID", None)
    return told


def _is_ours(attributes: Object, view: View) -> bool:
    return attributes.get(RUN) == view.session.id and attributes.get(ROLE) == MADE


def _network(subject: str, attributes: Object, view: View) -> Object | None:
    """Also of somebody else's container that joins: not who it is, so not at all."""
    name = view.network_name(subject) or (attributes.get("name") if subject in view.gone else None)
    if name is None and _none_of_ours(attributes, view):
        name = "none"
    container = attributes.get("container")
    if name is None or not (container is None or view.had_container(container)):
        return None
    return {**chosen(attributes, keeping("container", "type"), view), "name": name}


def _none_of_ours(attributes: Object, view: View) -> bool:
    return attributes.get("name") == "none" and attributes.get("type") == "null" and attributes.get("container") is not None


def _volume(subject: str, attributes: Object, view: View) -> Object | None:
    container = attributes.get("container")
    if subject not in view.volumes and subject not in view.gone:
        return None
    if not (container is None or view.had_container(container)):
        return None
    return chosen(attributes, keeping("container", "destination", "driver", "propagation", "read/write"), view)


def _image(subject: str, attributes: Object, view: View) -> Object | None:
    """An id, or of a pull a name."""
    if not (subject in view.images or subject in view.gone or view.has_tag(subject)):
        return None
    told: Object = {key: value for key, value in attributes.items() if not key.startswith(OUR_LABELS)}
    name = told.get("name")
    if name is not None and name != subject and not (view.has_tag(name) or among(name, view.images)):
        return None  # somebody gave the image a name of their own
    return told


_KINDS: Mapping[str, Callable[[str, Object, View], Object | None]] = {
    "container": _container,
    "network": _network,
    "volume": _volume,
    "image": _image,
}
# status, id and from: the old form, which clients still read
EVENT: Table[View] = keeping("status", "id", "from", "Type", "Action", "scope", "time", "timeNano")
