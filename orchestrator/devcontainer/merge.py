"""One configuration out of several entries: the image's, the features', the file's own; the later is the stronger. Pure.

A table with a rule for each property. What no rule names is the file's own. A property without a value is left out.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from orchestrator.devcontainer.jsonc import Json, Object

Entries = Sequence[Object]
Rule = Callable[[Entries, str], Json]


def merge(config: Object, entries: Entries) -> Object:
    """``config``: its variables replaced; ``entries``: the weakest first."""
    merged = {key: value for key, value in config.items() if key not in REPLACED and key not in RULES}
    for key, (rule, source) in RULES.items():
        value = rule(entries, source)
        if value is not None:
            merged[key] = value
    return merged


# --- rules: the values of a property in all entries, to one. None: left out ----------------------------------------------------


def _any(entries: Entries, key: str) -> Json:
    return any(_counts(entry.get(key)) for entry in entries)


def _last(entries: Entries, key: str) -> Json:
    return next((entry[key] for entry in reversed(entries) if _counts(entry.get(key))), None)


def _last_truth(entries: Entries, key: str) -> Json:
    return next((entry[key] for entry in reversed(entries) if isinstance(entry.get(key), bool)), None)


def _each_name(entries: Entries, key: str) -> Json:
    """The last value of each name."""
    found: Object = {}
    for entry in entries:
        table = entry.get(key)
        if isinstance(table, dict):
            found |= table
    return found


def _each_name_all(entries: Entries, key: str) -> Json:
    """The list of all values of each name."""
    found: dict[str, list[Json]] = {}
    for entry in entries:
        table = entry.get(key)
        for name, value in table.items() if isinstance(table, dict) else ():
            found.setdefault(name, []).append(value)
    return {**found} or None


def _list(entries: Entries, key: str) -> list[Json]:
    return [entry[key] for entry in entries if _counts(entry.get(key))]


def _list_or_none(entries: Entries, key: str) -> Json:
    return _list(entries, key) or None


def _union(entries: Entries, key: str) -> Json:
    return _unique(_items(entries, key)) or None


def _ports(entries: Entries, key: str) -> Json:
    """3000 and "localhost:3000" are the same."""
    named = [f"localhost:{port}" if isinstance(port, int) and not isinstance(port, bool) else port for port in _items(entries, key)]
    return [_port(port) for port in _unique(named)] or None


def _port(port: Json) -> Json:
    match = re.fullmatch(r"localhost:([0-9]{1,9})", port, re.ASCII) if isinstance(port, str) else None
    return int(match[1]) if match else port


def _mounts(entries: Entries, key: str) -> Json:
    """Of those with one target, the last."""
    found: list[Json] = []
    seen: set[str] = set()
    for mount in reversed(_items(entries, key)):
        target = mount_fields(mount).get("target")
        name = target if isinstance(target, str) else ""
        if name not in seen:
            seen.add(name)
            found.append(mount)
    return found[::-1] or None


_MOUNT_KEYS = {"src": "source", "destination": "target", "dst": "target"}


def mount_fields(mount: Json) -> Object:
    """A mount as a table: an object as it is, a text as ``--mount`` has it."""
    if isinstance(mount, dict):
        return mount
    if not isinstance(mount, str):
        return {}
    words = [word.split("=") for word in mount.split(",")]
    return {_MOUNT_KEYS.get(word[0], word[0]): word[1] if len(word) > 1 else None for word in words}


_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SIZE = re.compile(r"([0-9]{1,30})(?:([tgmk])b)?", re.ASCII)


def _requirements(entries: Entries, key: str) -> Json:
    """Of each amount the largest."""
    tables = [table for entry in entries if isinstance(table := entry.get(key), dict)]
    cpus = max((_number(table.get("cpus")) for table in tables), default=0)
    memory = max((size(table.get("memory")) for table in tables), default=0)
    storage = max((size(table.get("storage")) for table in tables), default=0)
    gpu: Json = None
    for entry in entries:  # all of them: one that is silent takes a "false" back
        table = entry.get(key)
        gpu = _stronger_gpu(gpu, table.get("gpu") if isinstance(table, dict) else None)
    if not (cpus or memory or storage or _counts(gpu)):
        return None
    found: Object = {"cpus": cpus}
    found |= {name: str(amount) for name, amount in (("memory", memory), ("storage", storage)) if amount}
    return found if gpu is None else {**found, "gpu": gpu}


def size(value: Json) -> int:
    """Bytes of ``8gb``; what is no size counts as none."""
    match = _SIZE.fullmatch(str(value)) if isinstance(value, (str, int)) and not isinstance(value, bool) else None
    return int(match[1]) * _UNITS[match[2] or ""] if match else 0


def _stronger_gpu(one: Json, other: Json) -> Json:
    """True asks for one, "optional" would like one, an object asks for so much of one."""
    if one is None or one is False:
        return other
    if other is None or other is False:
        return one
    if one == "optional" and other == "optional":
        return "optional"
    tables = [gpu for gpu in (one, other) if isinstance(gpu, dict)]
    cores = max((_number(table.get("cores")) for table in tables), default=0)
    memory = max((size(table.get("memory")) for table in tables), default=0)
    return {**({"cores": cores} if cores else {}), **({"memory": str(memory)} if memory else {})}


def _number(value: Json) -> int | float:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return value if isinstance(value, (int, float)) else 0


def _items(entries: Entries, key: str) -> list[Json]:
    """All items of all lists; what is no list is an item."""
    found: list[Json] = []
    for entry in entries:
        value = entry.get(key)
        if _counts(value):
            found += value if isinstance(value, list) else [value]
    return found


def _unique(values: list[Json]) -> list[Json]:
    """The first of equal ones; lists and objects are equal to none."""
    found: list[Json] = []
    seen: set[tuple[type, Json]] = set()
    for value in values:
        if isinstance(value, (list, dict)):
            found.append(value)
        elif (type(value), value) not in seen:
            seen.add((type(value), value))
            found.append(value)
    return found


def _counts(value: Json) -> bool:
    """Whether a value says something: "" and 0 do not, an empty list does."""
    return isinstance(value, (list, dict)) or bool(value)


# Property of the result -> rule, and the property of the entries.
RULES: Mapping[str, tuple[Rule, str]] = {
    "init": (_any, "init"),
    "privileged": (_any, "privileged"),
    "capAdd": (_union, "capAdd"),
    "securityOpt": (_union, "securityOpt"),
    "entrypoints": (_list_or_none, "entrypoint"),
    "mounts": (_mounts, "mounts"),
    "customizations": (_each_name_all, "customizations"),
    "onCreateCommands": (_list, "onCreateCommand"),
    "updateContentCommands": (_list, "updateContentCommand"),
    "postCreateCommands": (_list, "postCreateCommand"),
    "postStartCommands": (_list, "postStartCommand"),
    "postAttachCommands": (_list, "postAttachCommand"),
    "waitFor": (_last, "waitFor"),
    "remoteUser": (_last, "remoteUser"),
    "containerUser": (_last, "containerUser"),
    "userEnvProbe": (_last, "userEnvProbe"),
    "remoteEnv": (_each_name, "remoteEnv"),
    "containerEnv": (_each_name, "containerEnv"),
    "overrideCommand": (_last_truth, "overrideCommand"),
    "portsAttributes": (_each_name, "portsAttributes"),
    "otherPortsAttributes": (_last, "otherPortsAttributes"),
    "forwardPorts": (_ports, "forwardPorts"),
    "shutdownAction": (_last, "shutdownAction"),
    "updateRemoteUserUID": (_last_truth, "updateRemoteUserUID"),
    "hostRequirements": (_requirements, "hostRequirements"),
}
# Properties of the file that the result has under another name, or only where an entry has them.
REPLACED = frozenset([
    "entrypoint", "onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand", "postAttachCommand",
])  # fmt: skip
