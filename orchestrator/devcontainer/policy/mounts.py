"""Mounts as they are asked for, in the three forms that docker and the dev container specification have, and written anew. Pure.

Where a path of this machine leads once its links are followed comes in with the ground.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from orchestrator.devcontainer.jsonc import Json
from orchestrator.devcontainer.policy.asks import Ask, Need, never
from orchestrator.devcontainer.policy.csvline import BadLine, join, split
from orchestrator.devcontainer.policy.grants import clean_path
from orchestrator.devcontainer.policy.verdict import WorkspaceGround

# Sockets that are root on this machine, and the folders that hold them.
_SOCKET = re.compile(r".*/[^/]*(docker|containerd|podman|crio|buildkit)[^/]*\.sock[^/]*")
_SOCKET_FOLDERS = re.compile(
    r"/|/var|(/var)?/run|(/var)?/run/(docker|containerd|podman|crio|buildkit|user)(/.*)?|/proc(/.*)?|/var/lib/(docker|containerd)(/.*)?"
)
_VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,254}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")  # as Go reads them
_TRAVELS = Need("run-arg:--mount", "mounts inside and outside would reach each other")
_ODD = "is not a harmless option of a mount"
_FOREIGN = "a folder of this machine outside the workspace"
_READ = "it would be read, outside the workspace"
_ENGINE = "whoever reaches it is root on this machine"


class _Bad(ValueError):
    """A mount that cannot be read."""


@dataclass(frozen=True, slots=True)
class Mount:
    """``source``: None for a new volume without a name, or tmpfs; ``options``: as written, the harmless ones; ``odd``: others."""

    kind: str
    source: str | None
    target: str
    options: tuple[str, ...] = ()
    odd: tuple[str, ...] = ()


def truth(text: str) -> bool | None:
    """Go's reading of a truth; None if it is none."""
    return True if text in _TRUE else False if text in _FALSE else None


# --- reading -------------------------------------------------------------------------------------------------------------------


def parse(asked: Json) -> Mount:
    """A mount as text (``type=bind,source=/a,target=/b``) or object.

    Raises:
        ValueError: it is none; the text says why.
    """
    if isinstance(asked, str):
        try:
            return _from_fields(split(asked))
        except BadLine as problem:
            raise _Bad(f"the mount {problem}") from None
    if not isinstance(asked, dict):
        raise _Bad("it is neither text nor object")
    fields = []
    for key in ("type", "source", "target"):
        value = asked.get(key)
        if value is not None and (not isinstance(value, str) or _CONTROL.search(value)):
            raise _Bad(f"its {key} is no text of one line")
        fields += [f"{key}={value}"] if value else []
    return _from_fields(fields)


_ALIASES: Mapping[str, str] = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_SWITCHES = ("readonly", "volume-nocopy", "bind-nonrecursive")


def _from_fields(fields: list[str]) -> Mount:
    found: dict[str, str] = {}
    odd: list[str] = []
    for field in fields:
        name, equals, value = field.partition("=")
        name = _ALIASES.get(name.lower(), name.lower())
        if not equals and name not in _SWITCHES:
            raise _Bad(f"{field[:80]!r} is no NAME=VALUE")
        if name in ("volume-label", "volume-opt"):  # may be repeated
            odd.append(f"{name}={value}")
        elif name in _SWITCHES:
            state = True if not equals else truth(value)
            if state is None:
                raise _Bad(f"{value[:80]!r} is neither true nor false")
            found[name] = "true" if state else ""
        else:
            found[name] = value
    kind = found.pop("type", "volume").lower()
    source, target = found.pop("source", ""), found.pop("target", "")
    harmless = _OPTIONS.get(kind)
    if harmless is None:
        odd.insert(0, f"type={kind}")
    options: list[str] = []
    for name, value in found.items():
        if name in _SWITCHES and not value:
            continue
        written = name if name in _SWITCHES else f"{name}={value}"
        (options if harmless is not None and name in harmless and harmless[name](value) else odd).append(written)
    return _checked(Mount(kind, source or None, target, tuple(options), tuple(odd)))


def _one_of(*choices: str) -> Callable[[str], bool]:
    return lambda value: value.lower() in choices


def _matches(pattern: str) -> Callable[[str], bool]:
    return lambda value: re.fullmatch(pattern, value, re.ASCII) is not None


def _always(value: str) -> bool:
    return True


_COMMON: Mapping[str, Callable[[str], bool]] = {
    "readonly": _always,
    "consistency": _one_of("", "default", "consistent", "cached", "delegated"),
}
# Of each type: the options that are harmless, with their harmless values. Another one is a finding, so is another type.
_OPTIONS: Mapping[str, Mapping[str, Callable[[str], bool]]] = {
    "bind": {
        **_COMMON,
        "bind-propagation": _one_of("private", "rprivate"),
        "bind-nonrecursive": _always,
        "bind-recursive": _one_of("enabled", "disabled", "writable", "readonly"),
    },
    "volume": {
        **_COMMON,
        "volume-nocopy": _always,
        "volume-driver": _one_of("", "local"),
        "volume-subpath": _matches(r"[A-Za-z0-9_./ -]+"),
    },
    "tmpfs": {**_COMMON, "tmpfs-size": _matches(r"[0-9.]+ ?[A-Za-z]{0,3}"), "tmpfs-mode": _matches(r"[0-7]{1,5}")},
}


def _checked(mount: Mount) -> Mount:
    if not mount.target.startswith("/"):
        raise _Bad(f"its target {mount.target[:80]!r} is no absolute path" if mount.target else "it has no target")
    if mount.kind == "bind" and clean_path(mount.source or "") is None:
        raise _Bad(f"its source {(mount.source or '')[:80]!r} is no absolute path")
    if mount.kind == "volume" and mount.source is not None and not _VOLUME.fullmatch(mount.source):
        raise _Bad(f"{mount.source[:80]!r} is no name of a volume")
    if mount.kind == "tmpfs" and mount.source is not None:
        raise _Bad("a tmpfs has no source")
    return mount


# After the second colon of -v: harmless words of both kinds of mounts.
_VOLUME_WORDS = frozenset([
    "ro", "rw", "z", "Z", "nocopy", "private", "rprivate", "cached", "delegated", "consistent", "default",
])  # fmt: skip
_VOLUME_TRAVELS = frozenset(["shared", "rshared", "slave", "rslave"])


def parse_volume(text: str) -> Mount:
    """``SOURCE:TARGET[:OPTIONS]`` of ``-v``, or a lone target.

    Raises:
        ValueError: it is none. Also where a shell or a current folder would have to say what is meant.
    """
    if _CONTROL.search(text):
        raise _Bad("it holds a control character")
    parts = text.split(":")
    if len(parts) == 1:
        return _checked(Mount("volume", None, text))
    if len(parts) > 3:
        raise _Bad("it has more than two colons")
    words = tuple(parts[2].split(",")) if len(parts) == 3 else ()
    if unknown := [word for word in words if word not in _VOLUME_WORDS | _VOLUME_TRAVELS]:
        raise _Bad(f"{unknown[0][:80]!r} is no option of a mount")
    kind = "bind" if parts[0].startswith("/") else "volume"
    if not parts[0]:
        raise _Bad("it has no source")
    harmless = tuple(word for word in words if word in _VOLUME_WORDS)
    return _checked(Mount(kind, parts[0], parts[1], harmless, tuple(word for word in words if word in _VOLUME_TRAVELS)))


# --- judging -------------------------------------------------------------------------------------------------------------------


def ask_mount(asked: Json, ground: WorkspaceGround, field: str = "mounts") -> Ask:
    """A mount as text or object."""
    try:
        mount = parse(asked)
    except ValueError as problem:
        return never(f"the mount {_text(asked)}", str(problem))
    source, needs = _source(mount, ground)
    parts = [f"type={mount.kind}", *([f"source={source}"] if source is not None else []), f"target={mount.target}"]
    words = (join([*parts, *mount.options, *(one for one in mount.odd if not one.startswith("type="))]),)
    return Ask(f"the mount {_text(asked)}", field, words, needs, volume=_volume(mount), source=source if mount.kind == "bind" else None)


def ask_volume(text: str, ground: WorkspaceGround) -> Ask:
    """A mount as ``-v`` has it: stays one, since it makes a source that is missing."""
    what = f"-v {text}"
    try:
        mount = parse_volume(text)
    except ValueError as problem:
        return never(what, f"{problem}; sources are absolute paths or names of volumes")
    source, needs = _source(mount, ground)
    if source is None:
        return Ask(what, "run_args", (f"--volume={mount.target}",))
    if ":" in source:
        return never(what, f"it leads to {source!r}, which only a mount can name")
    options = [",".join((*mount.options, *mount.odd))] if mount.options or mount.odd else []
    words = (":".join([f"--volume={source}", mount.target, *options]),)
    return Ask(what, "run_args", words, needs, volume=_volume(mount), source=source if mount.kind == "bind" else None)


def _volume(mount: Mount) -> str | None:
    return mount.source if mount.kind == "volume" else None


def _text(asked: Json) -> str:
    if isinstance(asked, dict):
        return ",".join(f"{key}={value}" for key, value in asked.items() if isinstance(value, (str, int, float)))
    return asked if isinstance(asked, str) else str(asked)[:80]


def _source(mount: Mount, ground: WorkspaceGround) -> tuple[str | None, tuple[Need, ...]]:
    """The source as it is to be written, and what the mount needs."""
    needs = tuple(_odd(one) for one in mount.odd)
    if mount.kind != "bind" or mount.source is None:
        return mount.source, needs
    path = ground.followed(clean_path(mount.source) or mount.source)
    return path, (*host_needs(path, ground), *needs)


def _odd(option: str) -> Need:
    if option in _VOLUME_TRAVELS or option.startswith("bind-propagation="):
        return _TRAVELS
    return Need("run-arg:--mount", f"{option[:80]!r} {_ODD}")


def host_needs(path: str, ground: WorkspaceGround, why: str = _FOREIGN) -> tuple[Need, ...]:
    """What a path of this machine needs, clean and with its links followed, to be mounted or read."""
    if is_engine_socket(path):
        return (Need("docker-socket", _ENGINE),)
    folder = (Need(f"mount:{path}", why),) if not ground.holds(path) else ()
    return (*folder, Need("docker-socket", "it holds the engine's socket or data")) if _SOCKET_FOLDERS.fullmatch(path) else folder


def read_needs(path: str, ground: WorkspaceGround) -> tuple[Need, ...]:
    """What reading a path of this machine needs; ``path``: absolute and clean."""
    return host_needs(ground.followed(path), ground, _READ)


def is_engine_socket(path: str) -> bool:
    """Whether a path is called as an engine's socket is."""
    return _SOCKET.fullmatch(path) is not None


def host_path(asked: Json) -> str | None:
    """The path of this machine that a mount of either form names; None if there is none."""
    try:
        mount = parse(asked)
    except ValueError:
        return None
    return clean_path(mount.source or "") if mount.kind == "bind" else None


def host_path_of_volume(text: str) -> str | None:
    """The same of a ``-v``."""
    try:
        mount = parse_volume(text)
    except ValueError:
        return None
    return clean_path(mount.source or "") if mount.kind == "bind" else None
