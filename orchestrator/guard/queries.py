"""Query parameters: a closed table per route, each value judged and written anew. Pure.

A parameter that the table does not name is dropped when its value means nothing (clients send ``v=False``), else refused: the daemon of
next year may take it for something.
"""

import re
from collections.abc import Callable, Mapping

from orchestrator.guard.calls import deny
from orchestrator.guard.target import boolean, one

Pairs = tuple[tuple[str, str], ...]
QueryRule = Callable[[str, str], str | None]  # (value, name) -> what is forwarded; None: nothing is

_NOTHING = frozenset(["", "0", "false", "none", "null", "no", "[]", "{}"])


def flag(value: str, name: str) -> str:
    """As Docker's BoolValue reads it."""
    return "1" if boolean(value) else "0"


def false(value: str, name: str) -> str:
    if boolean(value):
        raise deny("query.value", f"{name}={value!r} is not allowed", field=name, allowed="0")
    return "0"


def unused(value: str, name: str) -> None:
    """A flag that clients still send, and that means nothing to any engine that is spoken with."""
    boolean(value)


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
# ``ps`` runs on the machine, as root, with these words, and the engine keeps the lines in whose PID column it reads a process of the
# container. Columns with words of processes stand last: before that column, they would choose what it reads.
_PS_COLUMNS = (
    "uid|user|ruser|euser|gid|group|rgroup|egroup|ppid|pgid|sid|tty|tt|stat|state|s|time|etime|etimes|cputime|stime|start|pcpu|%cpu|pmem|%mem"
    "|c|cls|f|ni|pri|psr|rss|sz|vsz|size|nlwp|thcount|wchan"
)
_PS_WORDS = "args|cmd|command|comm"
ps_arguments = pattern(
    rf"|-ef|-?aux|axu|(-eo|axo|-o) pid(,({_PS_COLUMNS})){{0,16}}(,({_PS_WORDS}))?", "aux, -ef, -eo pid,user,args (pid first, args last)"
)
path = pattern(r"[^\x00-\x1f\x7f]{1,4096}", "a path")
text = pattern(r"[^\x00-\x1f\x7f]{0,512}", "a line of text")
filters = pattern(r"[^\x00-\x1f\x7f]{0,65536}", "filters as JSON")  # judged by guard.filters
types = pattern(r"container|image|volume|build-cache|", "container, image, volume, build-cache")
scope = pattern(r"local|", "local")
amount = pattern(r"[0-9]{1,19}|", "a number of bytes")

_name = pattern(r"/?[a-zA-Z0-9][a-zA-Z0-9_.-]{1,127}", "letters, digits, '_', '.', '-'")
_ID_LIKE = re.compile(r"/?[0-9a-f]{12,64}", re.ASCII)


def name(value: str, name: str) -> str:
    """Of a container. For an engine a name wins over the beginning of an id, also of somebody else's container."""
    if _ID_LIKE.fullmatch(value):
        raise deny("name.id-like", f"{value!r} could be the beginning of an id", field=name, allowed="another name", status=400)
    return str(_name(value, name))


def judge(query: Pairs, rules: Mapping[str, QueryRule]) -> dict[str, str]:
    """What is forwarded, in the table's order.

    Raises:
        Denied: a parameter or a value that is not allowed, or two of one name.
    """
    found: dict[str, str] = {}
    for key, rule in rules.items():
        value = one(query, key)
        kept = None if value is None else rule(value, key)
        if kept is not None:
            found[key] = kept
    for key, value in query:
        if key not in rules and value.lower() not in _NOTHING:
            raise deny("query.unknown", f"the parameter {key[:40]!r} is not known here", field=key[:40])
    return found
