"""Removing what a session made in an engine, found by its labels: containers, networks, volumes, images, and the guard's own mounts.

One implementation for all: the guard's own end, a run's teardown and recovery, ``aienv gc`` and ``aienv rm``. It needs nothing but an
address and the session's id, so it works after a kill -9 of everybody. Already gone is success; an engine that is silent is "left".
Plain HTTP from the standard library: the broker does without the SDK.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

from orchestrator.guard.calls import Denied
from orchestrator.guard.group import remove as remove_group
from orchestrator.guard.imagenames import canonical
from orchestrator.guard.marks import noted
from orchestrator.guard.pins import unmount_below
from orchestrator.guard.plain import PlainEngine, Silent, message_of
from orchestrator.model.guard import IMAGE_RUN, MADE, MANAGED, ROLE, RUN

NAMELESS = "<none>:<none>"
AGAIN_S = 0.1
PATIENCE_S = 8.0  # with the same things, each refused: an image that somebody else uses will not go
# Environments of runs bear the same labels, and are not a guard's to remove.
NOT_OURS = ("task", "harvest")

Removed = tuple[tuple[str, ...], tuple[str, ...]]


def sweep(address: str, session: str, folder: Path, deadline_s: float) -> Removed:
    """Remove everything of a session: (removed, left). ``folder``: the guard's; whatever is mounted below it is unmounted.

    Nothing may be using the session any more, or it makes new things meanwhile. Never raises.
    """
    removed: dict[str, None] = {}
    left: list[str] = []
    engine = PlainEngine(address, time.monotonic() + deadline_s)
    try:
        given = frozenset(mark.name for mark in noted(folder))
        left += _of_builds(engine, session, removed)
        for kind in _KINDS:
            left += _all_of(engine, kind, session, removed, given)
        left += _marked(engine, session, folder, removed)
    except (Silent, ValueError) as problem:
        left.append(f"what the guard of {session} made: {problem}")
    finally:
        engine.close()
    left += remove_group(session)
    try:
        unmount_below(folder)  # after the containers: a mount in use stays
    except OSError as problem:
        left.append(f"mounts below {folder}: {problem.strerror or problem}")
    return tuple(removed), tuple(left)


def sessions(address: str, deadline_s: float) -> tuple[str, ...]:
    """Ids of all sessions that have something in this engine. Empty when it does not answer."""
    engine = PlainEngine(address, time.monotonic() + deadline_s)
    found: set[str] = set()
    try:
        for kind in _KINDS:
            found |= {labels[IMAGE_RUN if kind == "image" else RUN] for _, _, labels in _found(engine, kind, None)}
    except (Silent, ValueError):
        pass
    finally:
        engine.close()
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class Held:
    """``paused``: to be unpaused; ``stopped``: those that were about to start again, to be started. ``problems``: what goes on."""

    paused: tuple[str, ...]
    stopped: tuple[str, ...]
    problems: tuple[str, ...]


def freeze(address: str, session: str, deadline_s: float) -> Held:
    """Let no container of the session do anything. For a reader of what they write; nobody may be starting any meanwhile.

    One that ends while it is paused is gone; one that keeps crashing is stopped, or it would start again behind our back.
    """
    engine = PlainEngine(address, time.monotonic() + deadline_s)
    paused: dict[str, None] = {}
    stopped: dict[str, None] = {}
    problems: list[str] = []
    try:
        while active := [row for row in _states(engine, session) if row[2] in ("running", "restarting")]:
            problems = []
            for key, name, state in active:
                verb, held = ("pause", paused) if state == "running" else ("stop?t=0", stopped)
                status, said = engine.call("POST", f"/containers/{key}/{verb}")
                if status in (204, 304):
                    held[key] = None
                else:
                    problems.append(f"container {name}: {message_of(said)}")
            if engine.is_over():
                break
    except (Silent, ValueError) as problem:
        problems.append(str(problem))
    finally:
        engine.close()
    return Held(tuple(paused), tuple(stopped), tuple(problems))


def _states(engine: PlainEngine, session: str) -> list[tuple[str, str, str]]:
    """(id, name, state) of a session's containers. Raises Silent."""
    filters = json.dumps({"label": [f"{MANAGED}=1", f"{RUN}={session}", f"{ROLE}={MADE}"]})
    status, answer = engine.call("GET", "/containers/json?all=1&" + urlencode({"filters": filters}))
    if status != 200 or not isinstance(answer, list):
        raise Silent(f"listing containers: {message_of(answer)}")
    return [(str(row["Id"]), str((row.get("Names") or [row["Id"]])[0]).lstrip("/"), str(row.get("State"))) for row in answer]


def thaw(address: str, held: Held, deadline_s: float) -> None:
    """The opposite. What does not answer is removed later, frozen or not."""
    engine = PlainEngine(address, time.monotonic() + deadline_s)
    with contextlib.suppress(Silent, ValueError), contextlib.closing(engine):
        for key in held.paused:
            engine.call("POST", f"/containers/{key}/unpause")
        for key in held.stopped:
            engine.call("POST", f"/containers/{key}/start")


def _of_builds(engine: PlainEngine, session: str, removed: dict[str, None]) -> list[str]:
    """Containers of build steps that an engine left when it died: they run an image that has no name. Raises Silent."""
    filters = json.dumps({"label": [f"{IMAGE_RUN}={session}"]})
    status, answer = engine.call("GET", "/containers/json?all=1&" + urlencode({"filters": filters}))
    left = []
    for row in answer if status == 200 and isinstance(answer, list) else ():
        key, image = str(row["Id"]), str(row.get("ImageID"))
        status, found = engine.call("GET", f"/images/{image}/json")
        if (row.get("Labels") or {}).get(RUN) or (status == 200 and found.get("RepoTags")):
            continue  # a client's, which the others find; or a user's, of an image with a name
        if said := _container(engine, key):
            left.append(f"container {key[:12]} of a build: {said}")
        else:
            removed[f"container {key[:12]} of a build"] = None
    return left


def _marked(engine: PlainEngine, session: str, folder: Path, removed: dict[str, None]) -> list[str]:
    """Names that were given, and images that were loaded: those that are still what they were. Raises Silent."""
    left = []
    for mark in noted(folder):
        key = mark.name or mark.id
        status, found = engine.call("GET", f"/images/{quote(key, safe=':/@')}/json")
        if status != 200 or not isinstance(found, dict) or (not mark.name and found.get("RepoTags")):
            continue
        config = found.get("Config")
        labels = (config.get("Labels") if isinstance(config, dict) else None) or {}
        if found.get("Id") != mark.id and (mark.id or labels.get(IMAGE_RUN) != session):
            continue
        if said := _removed(engine, f"/images/{quote(key, safe=':/@')}"):
            left.append(f"image {key}: {said}")
        else:
            removed[f"image {key}"] = None
    return left


# --- one kind of thing ---------------------------------------------------------------------------------------------------------


def _all_of(engine: PlainEngine, kind: str, session: str, removed: dict[str, None], given: frozenset[str]) -> list[str]:
    """Until none is left: while we look, a restart policy or a call under way may make another. ``given``: names of images.

    Raises:
        Silent: the time is over, or the engine is gone.
    """
    said, before, since = "", frozenset[str](), time.monotonic()
    while found := {key: name for key, name, _ in _found(engine, kind, session, given=given)}:
        if before != found.keys():
            before, since = frozenset(found), time.monotonic()
        elif engine.is_over() or time.monotonic() - since > PATIENCE_S:
            for name in found.values():
                removed.pop(f"{kind} {name}", None)
            return [f"{kind} {name}" + (f": {said}" if said else "") for name in found.values()]
        else:
            time.sleep(AGAIN_S)
        said = ""
        for key, name in found.items():
            removed[f"{kind} {name}"] = None
            said = _REMOVALS[kind](engine, key) or said
    return []


def _container(engine: PlainEngine, key: str) -> str:
    """Kill first: removing a running container waits for its own stop signal in some engines. A frozen one dies of nothing."""
    engine.call("POST", f"/containers/{key}/unpause")
    engine.call("POST", f"/containers/{key}/kill")
    return _removed(engine, f"/containers/{key}?force=1&v=1")


def _network(engine: PlainEngine, key: str) -> str:
    """A container of somebody else's in it is let go: the network is ours."""
    status, found = engine.call("GET", f"/networks/{key}")
    members = found.get("Containers") if status == 200 and isinstance(found, dict) else None
    for member in members if isinstance(members, dict) else ():
        engine.call("POST", f"/networks/{key}/disconnect", {"Container": member, "Force": True})
    return _removed(engine, f"/networks/{key}")


def _volume(engine: PlainEngine, key: str) -> str:
    return _removed(engine, f"/volumes/{quote(key, safe='')}?force=1")


def _image(engine: PlainEngine, key: str) -> str:
    return _removed(engine, f"/images/{quote(key, safe=':')}?force=1")


def _canonical(name: str) -> str:
    with contextlib.suppress(Denied):
        return canonical(name)
    return name


def _removed(engine: PlainEngine, path: str) -> str:
    """What the engine said against it; empty: it is gone."""
    status, said = engine.call("DELETE", path)
    return "" if status < 300 or status == 404 else message_of(said) or f"status {status}"


_REMOVALS: dict[str, Callable[[PlainEngine, str], str]] = {
    "container": _container, "network": _network, "volume": _volume, "image": _image,
}  # fmt: skip
_KINDS = tuple(_REMOVALS)  # in this order: each uses those that come later


def _found(
    engine: PlainEngine, kind: str, session: str | None, *, running: bool = False, given: frozenset[str] | None = None
) -> Iterator[tuple[str, str, dict[str, str]]]:
    """(key, name for people, labels) of what bears a guard's labels; of one session, or of any.

    ``given``: the names that the session gave to images. One with another name is a user's, who built on one of the session's.
    """
    key_of = IMAGE_RUN if kind == "image" else RUN
    wanted = [*([] if kind == "image" else [f"{MANAGED}=1"]), f"{key_of}={session}" if session is not None else key_of]
    filters = {"label": wanted, **({"status": ["running"]} if running else {})}
    path = {"container": "/containers/json?all=1&", "network": "/networks?", "volume": "/volumes?", "image": "/images/json?"}[kind]
    status, answer = engine.call("GET", path + urlencode({"filters": json.dumps(filters)}))
    if status != 200:
        raise Silent(f"listing {kind}s: {message_of(answer) or f'status {status}'}")
    rows = answer.get("Volumes") if kind == "volume" and isinstance(answer, dict) else answer
    for row in rows if isinstance(rows, list) else ():
        labels = row.get("Labels") if isinstance(row, dict) else None
        if not isinstance(labels, dict) or not labels.get(key_of) or (kind != "image" and labels.get(MANAGED) != "1"):
            continue  # an engine that takes no such filter
        if (session is None or labels[key_of] == session) and labels.get(ROLE, MADE) not in NOT_OURS:
            names = [name for name in row.get("Names") or row.get("RepoTags") or () if name != NAMELESS]
            if kind == "image" and given is not None and any(_canonical(name) not in given for name in names):
                continue
            key = str(row["Name"] if kind == "volume" else row["Id"])
            yield key, str(names[0] if names else row.get("Name") or key).lstrip("/"), labels
