"""Features that bring Docker are satisfied by the guard's socket instead of privilege or the engine's own socket. Pure.

What they ask for in order to start an engine, or to reach this machine's, is taken out of their entries; all else of them stays, and
is judged like everybody's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.devcontainer.policy.container import Entry
from orchestrator.devcontainer.policy.mounts import Mount, is_engine_socket, parse

SOCKET = "/var/run/docker.sock"
ENGINE_DATA = "/var/lib/docker"
INSIDE, OUTSIDE = "docker-in-docker", "docker-outside-of-docker"
_NAMES = {INSIDE: INSIDE, OUTSIDE: OUTSIDE, "docker-from-docker": OUTSIDE}


@dataclass(frozen=True, slots=True)
class Satisfied:
    """``entries``: without what starts an engine or mounts its socket. ``sockets``: where the guard's socket must be mounted, as absolute
    paths; empty if no feature wants Docker. ``notes``: for people."""

    entries: tuple[Entry, ...]
    sockets: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def wants_docker(self) -> bool:
        return bool(self.sockets)


def satisfied(entries: Sequence[Entry]) -> Satisfied:
    """``entries`` of features name them in ``id``, as in the label."""
    found: list[Entry] = []
    sockets: dict[str, None] = {}
    notes: dict[str, None] = {}
    for entry in entries:
        name = docker_feature(entry.values.get("id"))
        if name is None:
            found.append(entry)
            continue
        values, targets = _without_engine(entry.values)
        sockets |= dict.fromkeys((SOCKET, *targets))
        found.append(replace(entry, values=values))
        if gone := [key for key in entry.values if values.get(key) != entry.values[key]]:
            notes[f"{entry.origin}: Docker comes from the guard's socket; left out: {', '.join(gone)}"] = None
    return Satisfied(tuple(found), tuple(sockets), tuple(notes))


def docker_feature(written: Json) -> str | None:
    """Which of the two a feature is, by the last part of its name without version; None if it is another one."""
    if not isinstance(written, str):
        return None
    last = written.rstrip("/").rpartition("/")[2]
    return _NAMES.get(last.partition("@")[0].partition(":")[0].lower())


def _without_engine(values: Object) -> tuple[Object, list[str]]:
    """The entry without what its engine needs, and where else it expects a socket. Its start line starts an engine, or passes on to the
    socket that was mounted; ``label=disable`` was for that socket."""
    left = {key: value for key, value in values.items() if key not in ("privileged", "entrypoint")}
    targets: list[str] = []
    kept: list[Json] = []
    for one in _listed(values.get("mounts")):
        mount = _mount(one)
        if mount is not None and mount.kind == "bind" and is_engine_socket(mount.source or ""):
            targets.append(mount.target)
        elif mount is None or mount.target.rstrip("/") != ENGINE_DATA:
            kept.append(one)
    left |= {"mounts": kept} if "mounts" in values else {}
    if "securityOpt" in values:
        left["securityOpt"] = [one for one in _listed(values["securityOpt"]) if one not in ("label=disable", "label:disable")]
    return left, targets


def _mount(value: Json) -> Mount | None:
    try:
        return parse(value)
    except ValueError:
        return None


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [] if value is None else [value]
