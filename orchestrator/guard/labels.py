"""Our labels on what clients make: whose it is, for the time after a crash. What clients say under our names is dropped. Pure."""

from collections.abc import Mapping

from orchestrator.guard.calls import Json, Object, Session
from orchestrator.guard.fields import FieldRule, mapping, text
from orchestrator.model.guard import MADE, MANAGED, ROLE, RUN

OWN_PREFIX = "dev.aienv."

LABELS: FieldRule = mapping(text(64 << 10), most=512)


def own_labels(session: Session) -> dict[str, str]:
    return {MANAGED: "1", RUN: session.id, ROLE: MADE}


def with_own_labels(labels: Json, session: Session) -> Object:
    """``labels``: judged by ``LABELS``, or None."""
    theirs: Mapping[str, Json] = labels if isinstance(labels, dict) else {}
    return {**{key: value for key, value in theirs.items() if not key.startswith(OWN_PREFIX)}, **own_labels(session)}
