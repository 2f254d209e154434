"""How a daemon reads a body: the rules of Go's decoder, for the fields that matter to safety. Independent of the guard's own reader.

Keys match exactly or by folding; a key that comes again is decoded into what is there: objects and maps are merged, lists replaced (but
objects in them merged with those that stood at their place), the last value wins, ``null`` resets pointers, maps and lists and leaves
everything else. Only the first document counts. Daemons before 27 take HostConfig's fields from the top when there is no HostConfig.
Compared with Go 1.27's encoding/json on some thousands of the bodies that ``test_differential`` makes.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

Pairs = list[tuple[str, Any]]
FOLDS = {"\u017f": "s", "\u212a": "k"}  # besides ASCII's two cases; no other letter folds to ASCII


class Mismatch(Exception):
    """The daemon answers 400."""


@dataclass(frozen=True)
class Struct:
    fields: Mapping[str, Any]  # name -> kind: Struct, Pointer, List, Map, or a Python type


@dataclass(frozen=True)
class Pointer:
    to: Any


@dataclass(frozen=True)
class List:
    of: Any


@dataclass(frozen=True)
class Map:
    of: Any


class Doc:
    """An object as its pairs, in their order."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs


WORDS = "words"  # StrSlice: one text, or a list

MOUNT = Struct({
    "Type": str, "Source": str, "Target": str, "ReadOnly": bool, "BindOptions": Pointer(Struct({"Propagation": str})),
    "VolumeOptions": Pointer(Struct({"DriverConfig": Pointer(Struct({"Name": str, "Options": Map(str)})), "Labels": Map(str)})),
})  # fmt: skip
HOST_FIELDS: Mapping[str, Any] = {
    "Binds": List(str), "Mounts": List(MOUNT), "Tmpfs": Map(str), "NetworkMode": str, "PidMode": str, "IpcMode": str, "UTSMode": str,
    "UsernsMode": str, "CgroupnsMode": str, "Cgroup": str, "Privileged": bool, "CapAdd": List(str), "CapDrop": List(str),
    "SecurityOpt": List(str), "MaskedPaths": List(str), "ReadonlyPaths": List(str), "Devices": List(Struct({"PathOnHost": str})),
    "DeviceCgroupRules": List(str), "DeviceRequests": List(Struct({"Count": int})), "Runtime": str, "Annotations": Map(str),
    "CgroupParent": str, "Sysctls": Map(str), "Links": List(str), "VolumesFrom": List(str), "VolumeDriver": str, "StorageOpt": Map(str),
    "OomScoreAdj": int, "OomKillDisable": Pointer(bool), "PidsLimit": Pointer(int), "Memory": int, "MemorySwap": int, "NanoCpus": int,
    "CpuQuota": int, "CpuRealtimePeriod": int, "LogConfig": Struct({"Type": str, "Config": Map(str)}), "PublishAllPorts": bool,
    "PortBindings": Map(List(Struct({"HostIp": str, "HostPort": str}))), "ExtraHosts": List(str), "Dns": List(str),
}  # fmt: skip
ENDPOINT = Struct({
    "IPAMConfig": Pointer(Struct({"IPv4Address": str, "LinkLocalIPs": List(str)})), "Links": List(str), "Aliases": List(str),
    "MacAddress": str, "DriverOpts": Map(str), "NetworkID": str,
})  # fmt: skip
CREATE = Struct({
    "Image": str, "Cmd": WORDS, "Entrypoint": WORDS, "Env": List(str), "Labels": Map(str), "Hostname": str, "MacAddress": str,
    "OnBuild": List(str), "HostConfig": Pointer(Struct(HOST_FIELDS)),
    "NetworkingConfig": Pointer(Struct({"EndpointsConfig": Map(Pointer(ENDPOINT))})),
    **HOST_FIELDS,
})  # fmt: skip
EXEC = Struct({"Privileged": bool, "Tty": bool, "Detach": bool, "Cmd": WORDS, "Env": List(str), "User": str})
VOLUME = Struct(
    {"Name": str, "Driver": str, "DriverOpts": Map(str), "Labels": Map(str), "ClusterVolumeSpec": Pointer(Struct({"Group": str}))}
)
NETWORK = Struct({
    "Name": str, "Driver": str, "Scope": str, "Internal": bool, "EnableIPv6": Pointer(bool), "Ingress": bool, "ConfigOnly": bool,
    "ConfigFrom": Pointer(Struct({"Network": str})), "Options": Map(str),
    "IPAM": Pointer(Struct({"Driver": str, "Options": Map(str), "Config": List(Struct({"Subnet": str, "Gateway": str}))})),
})  # fmt: skip


@dataclass
class Value:
    """A struct that has been decoded: what was never said is missing."""

    said: dict[str, Any] = field(default_factory=dict)

    def get(self, *path: str) -> Any:
        found: Any = self
        for name in path:
            found = found.said.get(name) if isinstance(found, Value) else None
        return found


def read(kind: Struct, data: bytes) -> Value:
    """Raises Mismatch."""
    text = data.decode("utf-8", "replace").lstrip(" \t\r\n")
    try:
        document, _ = json.JSONDecoder(object_pairs_hook=Doc, parse_constant=_none).raw_decode(text)
    except (ValueError, RecursionError):
        raise Mismatch from None
    found = _decode(kind, document, Value())
    assert isinstance(found, Value)
    return found


def host_config(body: Value) -> Value:
    """What a daemon before 27 uses."""
    nested = body.get("HostConfig")
    return nested if isinstance(nested, Value) else body


def _none(word: str) -> Any:
    raise ValueError(word)


def _fold(name: str) -> str:
    return "".join(FOLDS.get(char, char.lower() if char.isascii() else char) for char in name)


def _decode(kind: Any, value: Any, there: Any) -> Any:
    if isinstance(kind, Pointer):
        return None if value is None else _decode(kind.to, value, there)
    if isinstance(kind, Struct):
        return _struct(kind, value, there)
    if isinstance(kind, Map):
        if value is None:
            return None
        if not isinstance(value, Doc):
            raise Mismatch
        found = dict(there) if isinstance(there, dict) else {}
        for key, item in value.pairs:
            found[key] = _decode(kind.of, item, None)
        return found
    if isinstance(kind, List):
        if value is None:
            return None
        if not isinstance(value, list):
            raise Mismatch
        before = there if isinstance(there, list) else []
        return [_decode(kind.of, item, one) for item, one in zip_longest(value, before[: len(value)])]
    if kind == WORDS:
        return [value] if isinstance(value, str) else _decode(List(str), value, there)
    if value is None:
        return there
    if type(value) is not kind or (kind is int and abs(value) >= 1 << 63):
        raise Mismatch
    return value


def _struct(kind: Struct, value: Any, there: Any) -> Any:
    if value is None:
        return there
    if not isinstance(value, Doc):
        raise Mismatch
    found = there if isinstance(there, Value) else Value()
    names = {_fold(name): name for name in kind.fields}
    for key, item in value.pairs:
        name = key if key in kind.fields else names.get(_fold(key))
        if name is not None:
            found.said[name] = _decode(kind.fields[name], item, found.said.get(name))
    return found


def escape(text: str, how: int) -> str:
    """One of the ways of writing a text as JSON."""
    if how == 0:
        return json.dumps(text)
    if how == 1:
        return json.dumps(text, ensure_ascii=False)
    return '"' + "".join(f"\\u{ord(char):04x}" for char in text) + '"' if re.fullmatch(r"[\x20-\uffff]*", text) else json.dumps(text)
