"""Query parameters: a closed table per route, each value judged and written anew. Pure.

A parameter that the table does not name is dropped when its value means nothing (clients send ``v=False``), else refused: the daemon of
next year may take it for something.
"""

import re
from collections.abc import Callable, Mapping

from orchestrator.guard.calls import deny
from orchestrator.guard.target import boolean, one

Pairs = tuple[tuple[str, str], ...]
QueryRule = Callable[[str, str], str]  # (value, name) -> what is forwarded

_NOTHING = frozenset(["", "0", "false", "none", "null", "no", "[]", "{}"])


def flag(value: str, name: str) -> str:
    """As Docker's BoolValue reads it."""
    return "1" if boolean(value) else "0"


def false(value: str, name: str) -> str:
    if boolean(value):
        raise deny("query.value", f"{name}={value!r} is not allowed", field=name, allowed="0")
    return "0"


def pattern(regex: str, allowed: str) -> QueryRule:
    """The whole value must match ``regex``."""
    compiled = re.compile(regex, re.ASCII)

    def rule(value: str, name: str) -> str:
        if not compiled.fullmatch(value):
            raise deny("query.value", f"{name}={value[:80]!r} is not understood", field=name, allowed=allowed, status=400)
        return value

    return rule


number = pattern(r"-?[0-9]{1,9}", "a whole number")
moment = pattern(r"-?[0-9]{1,12}(\.[0-9]{1,9})?|[0-9T:.Z+-]{4,40}|[0-9hmsu.µ]{1,32}|", "a time")
tail = pattern(r"all|-?[0-9]{1,9}|", "a number of lines, or all")
signal = pattern(r"[A-Z0-9+-]{1,16}|", "a signal by name or number")
detach_keys = pattern(r"[\x20-\x7e]{0,64}", "keys such as ctrl-p,ctrl-q")
condition = pattern(r"|not-running|next-exit|removed", "not-running, next-exit, removed")
# ``ps`` runs on the machine, as root, with these words. Not ``e``, which shows environments.
ps_arguments = pattern(r"|-?ef|-?axu?|-?aux|(-eo|axo|-o|-e -o) [a-z_%]{1,16}(,[a-z_%]{1,16}){0,16}", "such as aux, -ef, -eo pid,comm")
path = pattern(r"[^\x00-\x1f\x7f]{1,4096}", "a path")
text = pattern(r"[^\x00-\x1f\x7f]{0,512}", "a line of text")
filters = pattern(r"[^\x00-\x1f\x7f]{0,65536}", "filters as JSON")  # judged by guard.filters
types = pattern(r"container|image|volume|build-cache|", "container, image, volume, build-cache")
scope = pattern(r"local|", "local")
name = pattern(r"/?[a-zA-Z0-9][a-zA-Z0-9_.-]{1,127}", "letters, digits, '_', '.', '-'")


def judge(query: Pairs, rules: Mapping[str, QueryRule]) -> dict[str, str]:
    """What is forwarded, in the table's order.

    Raises:
        Denied: a parameter or a value that is not allowed, or two of one name.
    """
    found: dict[str, str] = {}
    for key, rule in rules.items():
        value = one(query, key)
        if value is not None:
            found[key] = rule(value, key)
    for key, value in query:
        if key not in rules and value.lower() not in _NOTHING:
            raise deny("query.unknown", f"the parameter {key[:40]!r} is not known here", field=key[:40])
    return found
