"""Schemas of bodies: a closed table of fields, each with a rule that gives what is forwarded. Pure.

Clients send every field that they know with its empty value, and newer clients know more fields than we do: an unknown field with nothing
in it is dropped, one with a value is refused. A key that only resembles a known one is refused: the daemon would take it for that one.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from orchestrator.guard.calls import Denied, Json, Known, Object, deny
from orchestrator.guard.fold import fold

Context = Known  # what the names in the body led to
FieldRule = Callable[[Json, Context, str], Json]
"""(value, what is known, its path) -> the value to forward; None: nothing is. Never called with None. Raises Denied."""

MAX_TEXT = 128 << 10  # one word of a command: more the kernel does not take
MAX_ITEMS = 4096


def judge(rules: Mapping[str, FieldRule], body: Object, context: Context, path: str = "") -> Object:
    """What is forwarded of ``body``.

    Raises:
        Denied: an unknown field with a value, a key in another case, or what a rule says.
    """
    spellings = _spellings(tuple(rules))
    found: Object = {}
    for key, value in body.items():
        rule = rules.get(key)
        name = key if rule is not None else ascii(key[:80])
        where = f"{path}.{name}" if path else name
        if rule is None:
            known = spellings.get(fold(key))
            if known is not None:
                raise deny("body.case", f"the field {key[:80]!r} is spelt in another case", field=where, allowed=known, status=400)
            if not is_empty(value):
                raise deny("body.unknown", f"the field {key[:80]!r} is not known here", field=where, allowed="leaving it out")
            continue
        kept = None if value is None else rule(value, context, where)
        if kept is not None:
            found[key] = kept
    return found


@lru_cache
def _spellings(keys: tuple[str, ...]) -> Mapping[str, str]:
    return {fold(key): key for key in keys}


def is_empty(value: Json) -> bool:
    """Whether a value says nothing: what a client writes for a field that nobody set."""
    if isinstance(value, dict):
        return all(map(is_empty, value.values()))
    return value is None or value is False or value in (0, "", [])


# --- rules -----------------------------------------------------------------------------------------------------------------------


def forbidden(rule: str, reason: str, *, zeros: tuple[Json, ...] = (), allowed: str | None = None, remedy: str | None = None) -> FieldRule:
    """Unset or refused. ``zeros``: further values that mean nothing."""

    def judged(value: Json, context: Context, path: str) -> Json:
        if is_empty(value) or any(value == zero and type(value) is type(zero) for zero in zeros):
            return None
        raise deny(rule, reason, field=path, allowed=allowed or "leaving it out", remedy=remedy)

    return judged


must_be_unset = forbidden("body.not-allowed", "this field may not be set")


def ignored(value: Json, context: Context, path: str) -> Json:
    """For what is judged elsewhere, or said to people alone: never forwarded."""
    return None


def flag(value: Json, context: Context, path: str) -> bool:
    if not isinstance(value, bool):
        raise wrong_type(value, "true or false", path)
    return value


def number(low: int, high: int) -> FieldRule:
    """A whole number."""

    def judged(value: Json, context: Context, path: str) -> Json:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(value, "a whole number", path)
        if not low <= value <= high:
            raise deny("body.range", f"{value} is out of bounds", field=path, allowed=f"{low} to {high}")
        return value

    return judged


def zero_or(rule: FieldRule, *zeros: int) -> FieldRule:
    """Zero and ``zeros`` are dropped: the daemon takes them for unset."""

    def judged(value: Json, context: Context, path: str) -> Json:
        unset = isinstance(value, int) and not isinstance(value, bool) and value in (0, *zeros)
        return None if unset else rule(value, context, path)

    return judged


def text(limit: int = MAX_TEXT) -> FieldRule:
    """Any text without NUL."""

    def judged(value: Json, context: Context, path: str) -> str:
        if not isinstance(value, str):
            raise wrong_type(value, "a text", path)
        if len(value) > limit:
            raise deny("body.long", f"a text of {len(value)} characters", field=path, allowed=f"{limit} characters", status=400)
        if "\0" in value:
            raise deny("body.text", "a text holds a NUL", field=path, status=400)
        return value

    return judged


def matching(regex: str, allowed: str, rule: str = "body.value") -> FieldRule:
    """A text of one form."""
    compiled = re.compile(regex, re.ASCII)

    def judged(value: Json, context: Context, path: str) -> Json:
        if not isinstance(value, str):
            raise wrong_type(value, "a text", path)
        if not compiled.fullmatch(value):
            raise deny(rule, f"{value[:80]!r} is not allowed", field=path, allowed=allowed)
        return value

    return judged


def one_of(*values: str, rule: str = "body.value", reason: str = "") -> FieldRule:
    """One of these texts, exactly."""

    def judged(value: Json, context: Context, path: str) -> Json:
        if not isinstance(value, str):
            raise wrong_type(value, "a text", path)
        if value not in values:
            allowed = ", ".join(repr(one) for one in values if one) or "leaving it out"
            raise deny(rule, f"{value[:80]!r} is not allowed{reason and f': {reason}'}", field=path, allowed=allowed)
        return value

    return judged


def each(rule: FieldRule, most: int = MAX_ITEMS) -> FieldRule:
    """A list."""

    def judged(value: Json, context: Context, path: str) -> Json:
        if not isinstance(value, list):
            raise wrong_type(value, "a list", path)
        if len(value) > most:
            raise deny("body.long", f"a list of {len(value)}", field=path, allowed=f"{most}", status=400)
        return [_item(rule, item, context, f"{path}[{index}]") for index, item in enumerate(value)]

    return judged


def mapping(rule: FieldRule, key: FieldRule | None = None, most: int = MAX_ITEMS) -> FieldRule:
    """An object whose keys are the client's own words."""
    judge_key = key or text(1024)

    def judged(value: Json, context: Context, path: str) -> Json:
        if not isinstance(value, dict):
            raise wrong_type(value, "an object", path)
        if len(value) > most:
            raise deny("body.long", f"an object of {len(value)}", field=path, allowed=f"{most}", status=400)
        found: Object = {}
        for name, item in value.items():
            where = f"{path}[{name[:80]!r}]"
            judge_key(name, context, where)
            found[name] = _item(rule, item, context, where)
        return found

    return judged


def record(rules: Mapping[str, FieldRule]) -> FieldRule:
    """An object with fields of ours."""

    def judged(value: Json, context: Context, path: str) -> Json:
        if not isinstance(value, dict):
            raise wrong_type(value, "an object", path)
        return judge(rules, value, context, path)

    return judged


def words(value: Json, context: Context, path: str) -> Json:
    """A command: a list of words, or one word alone."""
    return _WORDS([value] if isinstance(value, str) else value, context, path)


def wrong_type(value: Json, wanted: str, path: str) -> Denied:
    kind = {bool: "a flag", int: "a number", float: "a number with a point", str: "a text", list: "a list", dict: "an object"}
    return deny("body.type", f"{kind.get(type(value), 'null')} where {wanted} belongs", field=path, allowed=wanted, status=400)


def _item(rule: FieldRule, item: Json, context: Context, path: str) -> Json:
    """Within a list or a map null is a value of its own, and none of ours."""
    if item is None:
        raise wrong_type(item, "a value", path)
    return rule(item, context, path)


_WORDS = each(text())
