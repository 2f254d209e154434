"""What a create body asks to have mounted: four lists of the client become one of ours, or a refusal. Pure.

Whether a source is there, and whether it is what its name says, only ``pins`` can find out; here names are judged. A source that lies
in no map is refused, so is each field, type and option that has no row below.
"""

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from orchestrator.guard.calls import (
    BindAsk,
    Denied,
    Json,
    Known,
    MountAsk,
    Object,
    Reference,
    Session,
    SocketAsk,
    TmpfsAsk,
    VolumeAsk,
    deny,
)
from orchestrator.guard.fold import fold

RESERVED_VOLUMES = "aienv-map-"  # the guard's own volumes, each a whole map: see ``pins.volume_name``
MAX_MOUNTS = 128
MAX_PATH, MAX_NAME = 4095, 255  # bytes, of Linux

_VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_SIZE = re.compile(r"([0-9]{1,15})([kmg]?)b?", re.IGNORECASE)
_UNIT = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

# The words after the second colon of a bind, in classes of which each may be named once. "": it changes nothing here.
_BIND_WORDS: Mapping[str, str] = {
    "ro": "access", "rw": "access",
    "z": "label", "Z": "label",  # SELinux: a relabelled project would be the host's loss
    "nocopy": "copy",
    "private": "propagation", "rprivate": "propagation",
    "cached": "consistency", "delegated": "consistency", "consistent": "consistency", "default": "consistency",
}  # fmt: skip
_TRAVELS = frozenset(["shared", "rshared", "slave", "rslave"])

_TMPFS_WORDS = frozenset(["rw", "ro", "noexec", "exec", "nosuid", "suid", "nodev", "dev"])
_TMPFS_VALUES: Mapping[str, re.Pattern[str]] = {
    "uid": re.compile(r"[0-9]{1,10}"),
    "gid": re.compile(r"[0-9]{1,10}"),
    "mode": re.compile(r"[0-7]{1,4}"),
    "size": _SIZE,
}

# Not over what the kernel or the engine put there for the container's confinement.
_KEPT_TARGETS = ("/proc", "/sys", "/dev")
_KEPT_BUT = ("/dev/shm", "/dev/mqueue", "/dev/hugepages")


# --- the four lists ------------------------------------------------------------------------------------------------------------


def parse_mounts(body: Object, known: Known, session: Session) -> tuple[MountAsk, ...]:
    """Everything that ``body`` has mounted, in the client's order. VolumesFrom is judged elsewhere.

    A volume that is named need not exist, and may be someone else's (then ``known`` has None for it): who makes named volumes must look at
    their labels before a container gets them.
    """
    host = _object(_only(body, ("HostConfig", "Volumes")).get("HostConfig"), "HostConfig")
    lists = _only(host, ("Binds", "Mounts", "Tmpfs"))
    asks = [
        *(_bind(_text(one, where), where, session) for one, where in _each(lists.get("Binds"), "HostConfig.Binds")),
        *(_mount(_object(one, where), where, session) for one, where in _each(lists.get("Mounts"), "HostConfig.Mounts")),
        *(_tmpfs(target, options, where) for target, options, where in _entries(lists.get("Tmpfs"), "HostConfig.Tmpfs")),
    ]
    taken: set[str] = set()
    for ask in asks:
        if ask.target in taken:
            raise deny("mounts.duplicate", f"two mounts have the target {ask.target!r}", field="HostConfig", status=400)
        taken.add(ask.target)
    for target, options, where in _entries(body.get("Volumes"), "Volumes"):
        if options not in (None, {}):
            raise _malformed(where, "a volume of the image's configuration takes no options")
        clean = _target(target, where)
        if clean not in taken:  # clients name a target here and its source in Binds
            taken.add(clean)
            asks.append(VolumeAsk(None, clean, read_only=False, no_copy=False))
    if len(asks) > MAX_MOUNTS:
        raise deny("mounts.too-many", f"{len(asks)} mounts for one container", field="HostConfig", allowed=f"{MAX_MOUNTS}", status=400)
    return tuple(_as_known(ask, known) for ask in asks)


def _as_known(ask: MountAsk, known: Known) -> MountAsk:
    thing = known.get(Reference("volume", ask.name)) if isinstance(ask, VolumeAsk) and ask.name else None
    return replace(ask, name=thing.id) if thing is not None and isinstance(ask, VolumeAsk) else ask


def _bind(text: str, where: str, session: Session) -> MountAsk:
    """``source:target[:options]``, or a lone target: an anonymous volume."""
    parts = text.split(":")
    if len(parts) == 1:
        return VolumeAsk(None, _target(text, where), read_only=False, no_copy=False)
    if len(parts) > 3 or not parts[1].startswith("/"):
        raise _malformed(where, f"{text!r} is not 'source:target[:options]' of a Linux engine")
    words = _bind_words(parts[2] if len(parts) == 3 else "", where)
    return _source(parts[0], _target(parts[1], where), where, session, read_only="ro" in words, make=True, no_copy="nocopy" in words)


def _bind_words(text: str, where: str) -> frozenset[str]:
    words = text.split(",") if text else []
    for word in words:
        if word in _TRAVELS:
            raise _propagation(word, where)
        if word not in _BIND_WORDS:
            raise _malformed(where, f"unknown option {word!r} of a bind", allowed=", ".join(_BIND_WORDS))
    if len({_BIND_WORDS[word] for word in words}) < len(words):
        raise _malformed(where, f"options {text!r} contradict each other")
    return frozenset(words)


def _source(text: str, target: str, where: str, session: Session, *, read_only: bool, make: bool, no_copy: bool = False) -> MountAsk:
    if text.startswith("/"):
        return _host_source(text, target, where, session, read_only=read_only, make=make)
    return VolumeAsk(_volume_name(text, where), target, read_only, no_copy)


def _host_source(text: str, target: str, where: str, session: Session, *, read_only: bool, make: bool) -> BindAsk | SocketAsk:
    path = clean_path(text, where, up=True)
    if path in session.sockets:
        return SocketAsk(target)
    for number, one in sorted(enumerate(session.maps), key=lambda pair: -len(pair[1].inside)):
        below = below_root(path, one.inside)
        if below is not None:
            return BindAsk(number, below, target, read_only, make)
    project = session.maps[0].inside if session.maps else "nothing"
    raise deny("mounts.outside", f"{path!r} lies outside the project", field=where, allowed=f"{project} and what is below it")


def _volume_name(text: str, where: str) -> str:
    if not _VOLUME_NAME.fullmatch(text):
        reason = f"{text!r} is neither an absolute path nor a name of a volume"
        raise deny("mounts.source", reason, field=where, allowed="an absolute path, or letters, digits, '_', '.' and '-'", status=400)
    if text.startswith(RESERVED_VOLUMES):
        raise deny("mounts.reserved", f"names that begin with {RESERVED_VOLUMES!r} are the guard's own", field=where)
    return text


# --- HostConfig.Mounts ---------------------------------------------------------------------------------------------------------

_OPTIONS = ("BindOptions", "VolumeOptions", "TmpfsOptions", "ImageOptions", "ClusterOptions")
_MOUNT_FIELDS = ("Type", "Source", "Target", "ReadOnly", "Consistency", *_OPTIONS)


def _mount(entry: Object, where: str, session: Session) -> MountAsk:
    fields = _fields(entry, where, _MOUNT_FIELDS)
    kind = _text(fields.get("Type"), f"{where}.Type")
    reader = _MOUNTS.get(kind)
    if reader is None:
        raise deny("mounts.type", f"mounts of type {kind!r} are refused", field=f"{where}.Type", allowed=", ".join(_MOUNTS))
    own = f"{kind.capitalize()}Options"
    if strange := [name for name in _OPTIONS if name != own and not _is_empty(fields.get(name))]:
        raise _malformed(f"{where}.{strange[0]}", f"a mount of type {kind!r} takes no {strange[0]}")
    consistency = _text(fields.get("Consistency"), f"{where}.Consistency")
    if consistency and _BIND_WORDS.get(consistency) != "consistency":
        raise _malformed(f"{where}.Consistency", f"unknown consistency {consistency!r}")
    return reader(fields, where, session)


def _mount_bind(fields: Object, where: str, session: Session) -> MountAsk:
    at = f"{where}.BindOptions"
    names = ("Propagation", "NonRecursive", "CreateMountpoint", "ReadOnlyNonRecursive", "ReadOnlyForceRecursive")
    options = _fields(_object(fields.get("BindOptions"), at), at, names)
    propagation = _text(options.get("Propagation"), f"{at}.Propagation")
    if propagation not in ("", "private", "rprivate"):
        raise _propagation(propagation, f"{at}.Propagation")
    flags = {name: _flag(options.get(name), f"{at}.{name}") for name in names[1:]}  # ours is never recursive, so read-only is wholly so
    source = _text(fields.get("Source"), f"{where}.Source")
    if not source.startswith("/"):
        raise _malformed(f"{where}.Source", f"source {source!r} of a bind is not an absolute path")
    target = _target(_text(fields.get("Target"), f"{where}.Target"), f"{where}.Target")
    read_only = _flag(fields.get("ReadOnly"), f"{where}.ReadOnly")
    return _host_source(source, target, f"{where}.Source", session, read_only=read_only, make=flags["CreateMountpoint"])


def _mount_volume(fields: Object, where: str, session: Session) -> MountAsk:
    del session
    at = f"{where}.VolumeOptions"
    options = _fields(_object(fields.get("VolumeOptions"), at), at, ("NoCopy", "Labels", "DriverConfig", "Subpath"))
    _driver(_object(options.get("DriverConfig"), f"{at}.DriverConfig"), f"{at}.DriverConfig")
    if not _is_empty(options.get("Subpath")):
        raise deny("mounts.subpath", "a part of a volume is not mounted", field=f"{at}.Subpath", allowed="the whole volume")
    for _, value, place in _entries(options.get("Labels"), f"{at}.Labels"):
        _text(value, place)  # an existing volume has its labels already, and those of a new one are the guard's
    source = _text(fields.get("Source"), f"{where}.Source")
    name = _volume_name(source, f"{where}.Source") if source else None
    target = _target(_text(fields.get("Target"), f"{where}.Target"), f"{where}.Target")
    return VolumeAsk(name, target, _flag(fields.get("ReadOnly"), f"{where}.ReadOnly"), _flag(options.get("NoCopy"), f"{at}.NoCopy"))


def _driver(config: Object, at: str) -> None:
    """May say what holds anyway; it is not forwarded."""
    options = _fields(config, at, ("Name", "Options"))
    if not _is_empty(options.get("Options")) or options.get("Name") not in (None, "", "local"):
        raise deny("mounts.driver", "options for a volume's driver can mount anything of the host", field=at, allowed="leaving it out")


def _mount_tmpfs(fields: Object, where: str, session: Session) -> MountAsk:
    del session
    at = f"{where}.TmpfsOptions"
    if not _is_empty(fields.get("Source")):
        raise _malformed(f"{where}.Source", "a tmpfs has no source")
    options = _fields(_object(fields.get("TmpfsOptions"), at), at, ("SizeBytes", "Mode", "Options"))
    words = ["ro"] if _flag(fields.get("ReadOnly"), f"{where}.ReadOnly") else []
    for pair, place in _each(options.get("Options"), f"{at}.Options"):
        words.append("=".join(_text(one, deep) for one, deep in _each(pair, place)))
    size = _number(options.get("SizeBytes"), f"{at}.SizeBytes", 1 << 50)
    mode = _number(options.get("Mode"), f"{at}.Mode", 0o7777)
    ask = _tmpfs(_text(fields.get("Target"), f"{where}.Target"), ",".join(words), at)
    return TmpfsAsk(ask.target, size or ask.size_bytes, mode or ask.mode, ask.options)


_MOUNTS: Mapping[str, Callable[[Object, str, Session], MountAsk]] = {
    "bind": _mount_bind,
    "volume": _mount_volume,
    "tmpfs": _mount_tmpfs,
}


# --- tmpfs ---------------------------------------------------------------------------------------------------------------------


def _tmpfs(target: str, value: Json, where: str) -> TmpfsAsk:
    size: int | None = None
    mode: int | None = None
    words: list[str] = []
    for word in filter(None, _text(value, where).split(",")):
        name, sign, setting = word.partition("=")
        pattern = _TMPFS_VALUES.get(name)
        if not (word in _TMPFS_WORDS or (sign and pattern is not None and pattern.fullmatch(setting))):
            allowed = ", ".join([*sorted(_TMPFS_WORDS), *(f"{name}=" for name in _TMPFS_VALUES)])
            raise deny("mounts.tmpfs", f"option {word!r} of a tmpfs is refused", field=where, allowed=allowed)
        if name == "size":
            size = _bytes(setting)
        elif name == "mode":
            mode = int(setting, 8)
        else:
            words.append(word)
    return TmpfsAsk(_target(target, where), size, mode, ",".join(words))


def _bytes(text: str) -> int:
    found = _SIZE.fullmatch(text)
    assert found is not None
    return int(found[1]) * _UNIT[found[2].lower()]


def tmpfs_words(ask: TmpfsAsk) -> str:
    """``ask`` as a value of HostConfig.Tmpfs, which every engine has (Mounts learned options with API 1.46)."""
    size = (f"size={ask.size_bytes}",) if ask.size_bytes else ()
    mode = (f"mode={ask.mode:o}",) if ask.mode is not None else ()
    return ",".join(filter(None, (ask.options, *size, *mode)))


# --- paths ---------------------------------------------------------------------------------------------------------------------


def clean_path(text: str, where: str, *, up: bool = False) -> str:
    """An absolute path without ``.``, doubled slashes or a slash at its end.

    ``up``: ``..`` takes the name before it away, as the engine reads the source of a bind; what is left must lead through no link anyway.
    Elsewhere it is refused.
    """
    if not text.startswith("/") or _CONTROL.search(text) or "\\" in text:
        raise _malformed(where, f"{text!r} is not an absolute path")
    names = [name for name in text.split("/") if name not in ("", ".")]
    while up and ".." in names:
        at = names.index("..")
        names[max(at - 1, 0) : at + 1] = []
    if ".." in names:
        raise deny("mounts.dot-dot", f"{text!r} contains '..'", field=where, allowed="a path without it", status=400)
    if any(len(name.encode()) > MAX_NAME for name in names) or len(text.encode()) > MAX_PATH:
        raise _malformed(where, "a path is too long")
    return "/" + "/".join(names)


def _target(text: str, where: str) -> str:
    path = clean_path(text, where)
    if ":" in path:
        raise _malformed(where, f"a target with a colon, {path!r}, cannot be said in a bind")
    if path == "/":
        raise deny("mounts.target", "a mount on '/' would hide the image", field=where, status=400)
    kept = any(below_root(path, one) is not None for one in _KEPT_TARGETS)
    if kept and not any(below_root(path, one) is not None for one in _KEPT_BUT):
        raise deny("mounts.target", f"a mount on {path!r} would hide what confines the container", field=where)
    return path


def below_root(path: str, root: str) -> str | None:
    """``path`` relative to ``root``; empty: the root itself; None: not below it. Both clean."""
    if path == root:
        return ""
    prefix = root if root.endswith("/") else f"{root}/"
    return path[len(prefix) :] if path.startswith(prefix) else None


def host_path(ask: BindAsk, session: Session) -> str:
    """Where the source of ``ask`` is for the daemon."""
    return posixpath.join(session.maps[ask.map].host, ask.path) if ask.path else session.maps[ask.map].host


def inside_path(ask: BindAsk, session: Session) -> str:
    """Where the source of ``ask`` is for the client."""
    return posixpath.join(session.maps[ask.map].inside, ask.path) if ask.path else session.maps[ask.map].inside


def unmap(path: str, session: Session) -> str | None:
    """The path that clients know, of one that the daemon knows; None: no map has it."""
    return _through(path, [(one.host, one.inside) for one in session.maps])


def inside(path: str, session: Session) -> str | None:
    """The path that the daemon knows, of one that clients know; None: no map has it."""
    return _through(path, [(one.inside, one.host) for one in session.maps])


def _through(path: str, pairs: list[tuple[str, str]]) -> str | None:
    clean = posixpath.normpath(path) if path.startswith("/") and ".." not in path.split("/") else ""
    for source, result in sorted(pairs, key=lambda pair: -len(pair[0])):
        below = below_root(clean, source)
        if below is not None:
            return posixpath.join(result, below) if below else result
    return None


# --- JSON values ---------------------------------------------------------------------------------------------------------------


def _is_empty(value: Json) -> bool:
    return value is None or value is False or value in (0, "", [], {})


def _only(value: Object, names: tuple[str, ...]) -> Object:
    """Of an object whose other fields are judged elsewhere: these, which must be spelled as Go spells them."""
    for key in value:
        _refuse_variant(key, names, key)
    return {name: value[name] for name in names if name in value}


def _fields(value: Object, where: str, names: tuple[str, ...]) -> Object:
    """The fields ``names``; an unknown one may be there only with nothing in it."""
    for key, content in value.items():
        _refuse_variant(key, names, f"{where}.{key}")
        if key not in names and not _is_empty(content):
            raise deny("mounts.field", f"field {key!r} of a mount is unknown", field=where, allowed=", ".join(names))
    return {name: value[name] for name in names if name in value}


def _refuse_variant(key: str, names: tuple[str, ...], where: str) -> None:
    """A daemon takes ``BINDS`` and ``Bind\u017f`` for ``Binds``: Go folds the cases of fields."""
    if key not in names and fold(key) in map(fold, names):
        raise deny("mounts.spelling", f"field {key!r} is not spelled as the API spells it", field=where, status=400)


def _each(value: Json, where: str) -> Iterator[tuple[Json, str]]:
    if value is None:
        return
    if not isinstance(value, list):
        raise _malformed(where, "must be a list")
    for number, one in enumerate(value):
        yield one, f"{where}[{number}]"


def _entries(value: Json, where: str) -> Iterator[tuple[str, Json, str]]:
    for key, one in _object(value, where).items():
        yield key, one, f"{where}[{key!r}]"


def _object(value: Json, where: str) -> Object:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _malformed(where, "must be an object")
    return value


def _text(value: Json, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _malformed(where, "must be a string")
    return value


def _flag(value: Json, where: str) -> bool:
    if value is None:
        return False
    if not isinstance(value, bool):
        raise _malformed(where, "must be true or false")
    return value


def _number(value: Json, where: str, most: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise _malformed(where, f"must be a whole number from 0 to {most}")
    return value


def _malformed(where: str, reason: str, allowed: str | None = None) -> Denied:
    return deny("mounts.malformed", reason, field=where, allowed=allowed, status=400)


def _propagation(word: str, where: str) -> Denied:
    return deny("mounts.propagation", f"propagation {word!r} lets mounts travel to the host", field=where, allowed="rprivate, private")
