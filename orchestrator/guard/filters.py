"""The ``filters`` of lists, events and prunes: a closed table of keys for each, values judged and written anew. Pure.

    {"label": ["a=b"], "status": ["running"]}      and the older      {"label": {"a=b": true}}

Both are read; the first is what is forwarded, which every engine takes. A filter asks only about what the client may see, since its things
are all that is listed; where one names a thing (``before=web``), the thing is found first and its id is written, or nothing would match.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from orchestrator.guard.calls import Json, Kind, Known, Object, Reference, Session, deny
from orchestrator.guard.strictjson import parse
from orchestrator.guard.view import BRIDGE, OUR_LABELS
from orchestrator.model.guard import RUN

MAX_VALUES, MAX_VALUE = 64, 512
NOBODY = "0" * 64  # no engine gives this id: what is compared with it never matches

Listed = Literal["container", "network", "volume", "image", "events", "prune"]


@dataclass(frozen=True, slots=True)
class Rule:
    """``pattern``: of the whole value. ``names``: what it names. ``strict``: where that is not there, the engine answers 404."""

    pattern: str
    allowed: str
    names: Kind | None = None
    strict: bool = False

    def fits(self, value: str) -> bool:
        return bool(re.fullmatch(self.pattern, value, re.ASCII | re.DOTALL))


_LINE = r"[^\x00-\x1f\x7f]{0,512}"
_text = Rule(_LINE, "a line of text")
_label = Rule(_LINE, "KEY or KEY=VALUE")
_boolean = Rule(r"1|0|[tT]rue|TRUE|[fF]alse|FALSE|t|T|f|F", "true or false")
_number = Rule(r"-?[0-9]{1,9}", "a number")
_port = Rule(r"[0-9]{1,5}(-[0-9]{1,5})?(/(tcp|udp|sctp))?", "PORT or PORT/PROTOCOL")
_moment = Rule(r"[0-9A-Za-z:.+µ-]{1,40}", "a time")
_word = Rule(r"[a-z][a-z_-]{0,31}", "a word")


def _thing(kind: Kind, strict: bool = False) -> Rule:
    return Rule(_LINE, f"the name or id of a {kind}", kind, strict)


RULES: Mapping[Listed, Mapping[str, Rule]] = {
    "container": {
        "ancestor": _thing("image"), "before": _thing("container", True), "since": _thing("container", True), "network": _thing("network"),
        "exited": _number, "expose": _port, "publish": _port, "health": _word, "status": _word, "isolation": _word, "is-task": _boolean,
        "id": _text, "name": _text, "label": _label, "volume": _text,
    },
    "image": {
        "before": _thing("image", True), "since": _thing("image", True), "until": _moment, "dangling": _boolean, "reference": _text,
        "label": _label,
    },
    "network": {
        "dangling": _boolean, "driver": _word, "id": _text, "label": _label, "name": _text, "scope": _word, "type": _word,
    },
    "volume": {"dangling": _boolean, "driver": _text, "label": _label, "name": _text},
    "events": {
        "container": _thing("container"), "image": _thing("image"), "network": _thing("network"), "volume": _thing("volume"),
        "event": _text, "label": _label, "scope": _word, "type": _word,
        **dict.fromkeys(("config", "daemon", "node", "plugin", "secret", "service"), _text),  # of such things nothing is told
    },
    "prune": {"until": _moment, "label": _label, "label!": _label, "dangling": _boolean, "all": _boolean},
}  # fmt: skip


def judge_filters(text: str | None, kind: Listed) -> tuple[Object, tuple[Reference, ...]]:
    """The filters, each a list of values, and the things that they name.

    Raises:
        Denied: they are malformed, or of a key that the table has not.
    """
    if text is None or not text.strip():
        return {}, ()
    rules = RULES[kind]
    filters: dict[str, Json] = {}
    named: list[Reference] = []
    for key, given in parse(text.encode("utf-8", "surrogatepass")).items():
        rule = rules.get(key)
        if rule is None:
            if not given:
                continue
            raise deny("filters.key", f"the filter {key[:40]!r} is not known here", field="filters", allowed=", ".join(rules), status=400)
        values = [_judged(value, key, rule) for value in _values(given, key)]
        if values:
            filters[key] = list[Json](values)
        if rule.names is not None:
            named += [Reference(rule.names, value) for value in values]
    return filters, tuple(dict.fromkeys(named))


def _values(given: Json, key: str) -> list[str]:
    """Of either form."""
    if isinstance(given, dict):
        if not all(one is True for one in given.values()):
            raise _malformed(key)
        given = list[Json](given)
    if given is None:
        return []
    if not isinstance(given, list) or len(given) > MAX_VALUES:
        raise _malformed(key)
    values = [one for one in given if isinstance(one, str) and len(one) <= MAX_VALUE]
    if len(values) != len(given):
        raise _malformed(key)
    return list(dict.fromkeys(values))


def _malformed(key: str) -> Exception:
    return deny(
        "filters.form", f"the values of the filter {key[:40]!r} are not understood", field=f"filters.{key[:40]}",
        allowed=f"a list of at most {MAX_VALUES} texts", status=400,
    )  # fmt: skip


def _judged(value: str, key: str, rule: Rule) -> str:
    if not rule.fits(value):
        raise deny("filters.value", f"{key}={value[:80]!r} is not understood", field=f"filters.{key}", allowed=rule.allowed, status=400)
    if rule is _label and value.startswith(OUR_LABELS):
        raise deny("filters.label", f"labels that begin with {OUR_LABELS!r} are the guard's own", field=f"filters.{key}")
    return value


def strict_references(filters: Object, kind: Listed) -> tuple[Reference, ...]:
    """Those things without which the engine answers 404."""
    rules = RULES[kind]
    strict = [(rules[key].names, values) for key, values in filters.items() if rules[key].strict]
    return tuple(Reference(names, str(one)) for names, values in strict if names is not None and isinstance(values, list) for one in values)


def with_ids(filters: Object, kind: Listed, known: Known, session: Session) -> Object:
    """With full ids for what is named, and the session's own network under its own name. What is not there matches nothing."""
    rules = RULES[kind]
    written: dict[str, Json] = {}
    for key, values in filters.items():
        rule = rules[key]
        texts = [str(one) for one in values] if isinstance(values, list) else []
        if rule.names is not None:
            texts = [_id(Reference(rule.names, one), known, one if kind == "events" else NOBODY) for one in texts]
        elif kind == "network" and key == "name":
            texts = [session.network_name if one == BRIDGE and session.network_name else one for one in texts]
        written[key] = list[Json](texts)
    return written


def _id(reference: Reference, known: Known, otherwise: str) -> str:
    """Events are also waited for of what is not there yet."""
    thing = known.get(reference)
    return thing.id if thing is not None else otherwise


def with_own_label(filters: Object, session: Session) -> Object:
    """Only what carries our label. The client's own labels stay: the engine wants all of them to be there."""
    labels = filters.get("label")
    return {**filters, "label": [*(labels if isinstance(labels, list) else []), f"{RUN}={session.id}"]}
