"""The guard by itself, in the foreground: ``aienv guard``. What its clients made ends with it, or with the next one when it was killed.

Its folder, ``<state>/guards/<id>``, holds a locked mark with the engine's address, the event log, and what it mounts.
"""

import contextlib
import fcntl
import json
import os
import secrets
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator import trees
from orchestrator.audit.log import AuditLog
from orchestrator.errors import BackendUnavailable, UsageError
from orchestrator.guard.calls import Denied, PathMap, Session
from orchestrator.guard.config import GuardConfig
from orchestrator.guard.launch import Tree
from orchestrator.guard.masking import secrets_of
from orchestrator.guard.server import Guard, GuardFailed
from orchestrator.guard.sweep import sweep
from orchestrator.guard.usage import DockerLog
from orchestrator.model.guard import SOCKET_NAMES, GuardPlan
from orchestrator.model.paths import Paths
from orchestrator.model.task import SandboxRules

SWEEP_S = 60.0
MARK, LOG, STAND_IN = "guard.json", "audit.jsonl", "docker.sock"
BACKLOG = 128
KEEP_FINISHED = 20  # logs of guards that have ended
UNIX_PATH_BYTES = 107
MAX_FILE_BYTES = 2 << 20


@dataclass(frozen=True, slots=True)
class Alone:
    """``maps``: the project first. ``network``: a name that the user gave. ``mask``, ``unmask``: patterns of the configuration.

    ``adopt``: whether containers of the project's compose that are there at launch may be used.
    """

    plan: GuardPlan
    maps: tuple[PathMap, ...]
    socket: Path
    network: str | None
    mask: tuple[str, ...]
    unmask: tuple[str, ...]
    adopt: bool = True


def new_id(now: float) -> str:
    return time.strftime("g%Y%m%d-%H%M%S-", time.gmtime(now)) + secrets.token_hex(3)


def guards(paths: Paths) -> Path:
    return paths.state / "guards"


def serve(alone: Alone, paths: Paths, find_toolbox: Callable[[], str], ready: Callable[[str, Path], None]) -> tuple[str, ...]:
    """Serve until SIGTERM, SIGINT or SIGHUP. ``ready``: called with the session's id and the event log once clients may come.

    Returns what could not be removed.

    Raises:
        UsageError: the socket's place cannot be had. BackendUnavailable: the engine does not answer.
    """
    session_id = new_id(time.time())
    folder = guards(paths) / session_id
    with _marked(folder, alone.plan.daemon) as log, _listening(alone.socket) as listener, contextlib.ExitStack() as undo:
        stand_in = undo.enter_context(_listening(folder / STAND_IN, mode=0o666))
        session = _session(session_id, alone, folder)
        adopt = tuple(one.host for one in alone.maps) if alone.adopt else ()
        config = GuardConfig(session, str(folder), adopt=adopt, ports_here=True, mask=alone.mask, unmask=alone.unmask)
        log.write("guard.start", {"mode": alone.plan.mode, "project": alone.maps[0].host, "images": len(alone.plan.images)})
        bounded = DockerLog(lambda kind, facts: log.write(kind, dict(facts)))
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            undo.callback(signal.signal, number, signal.signal(number, lambda *_: ended.set()))
        try:
            guard = Guard(config, bounded.write, find_toolbox=find_toolbox)
        except GuardFailed as problem:
            raise BackendUnavailable(str(problem), remedy="see whether it runs: docker info", code="engine-silent") from problem
        removed: tuple[str, ...] = ()
        left: tuple[str, ...] = ()
        try:
            guard.listen("agent", listener.dup())
            guard.listen("agent", stand_in.dup())
            ready(session_id, folder / LOG)
            while not ended.wait(3600.0):
                pass
        finally:
            removed, left = guard.close()
            with contextlib.suppress(OSError):  # a log that takes nothing has stopped the guard before
                bounded.tell()
            log.write("guard.end", {"removed": list(removed), "left": list(left)})
        return left


def _session(session_id: str, alone: Alone, folder: Path) -> Session:
    owner = os.stat(alone.maps[0].host)
    uid, gid = (owner.st_uid, owner.st_gid) if os.geteuid() == 0 else (os.getuid(), os.getgid())
    return Session(
        id=session_id,
        plan=alone.plan,
        maps=alone.maps,
        sockets=tuple(dict.fromkeys((*SOCKET_NAMES, str(alone.socket)))),
        stand_in=str(folder / STAND_IN),
        uid=uid,
        gid=gid,
        network_name=alone.network or "",
        own_network=alone.network is None,
    )


def finish_abandoned(paths: Paths, say: Callable[[str], None]) -> tuple[str, ...]:
    """Remove what guards left that were killed. What is left, by name. Those whose owner lives are passed over."""
    problems: list[str] = []
    for folder in sorted(guards(paths).glob("g*")) if guards(paths).is_dir() else ():
        with _taken(folder / MARK) as mark:
            if mark is None:
                continue
            say(f"removing what guard {folder.name} left")
            _, left = sweep(str(mark.get("daemon")), folder.name, folder, SWEEP_S)
            problems += left
            if not left:
                (folder / MARK).unlink(missing_ok=True)
    return tuple(problems)


def log_of(paths: Paths, wanted: str) -> Path | None:
    """The event log of a guard: ``last``, an id, or the beginning of one."""
    found = sorted(guards(paths).glob("g*"))
    fitting = found[-1:] if wanted == "last" else [one for one in found if one.name.startswith(wanted)]
    return fitting[-1] / LOG if fitting and (fitting[-1] / LOG).exists() else None


@contextlib.contextmanager
def _marked(folder: Path, daemon: str) -> Iterator[AuditLog]:
    """The folder, and the locked mark by which the next one finds it. The mark goes when nothing is left; the log stays."""
    folder.mkdir(mode=0o700, parents=True)
    mark = os.open(folder / MARK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(mark, fcntl.LOCK_EX)
        os.write(mark, json.dumps({"daemon": daemon, "pid": os.getpid()}).encode())
        os.fsync(mark)
        log = AuditLog(folder / LOG, folder.name)
        try:
            yield log
        finally:
            log.close()
            left = _last_left(folder / LOG)
            if not left:
                (folder / MARK).unlink(missing_ok=True)
    finally:
        os.close(mark)


def _last_left(log: Path) -> Sequence[object]:
    """What the last line of a log says was left."""
    with contextlib.suppress(OSError, ValueError, IndexError, KeyError, TypeError):
        event: Mapping[str, Sequence[object]] = json.loads(log.read_bytes().splitlines()[-1])
        return event["left"]
    return ("unknown",)


@contextlib.contextmanager
def _taken(mark: Path) -> Iterator[Mapping[str, object] | None]:
    """The mark of a guard that nobody looks after, locked meanwhile; None: somebody does, or there is none."""
    try:
        descriptor = os.open(mark, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        yield None
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield json.loads(os.read(descriptor, 65536) or b"{}")
    except (OSError, ValueError):
        yield None
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _listening(path: Path, mode: int = 0o600) -> Iterator[socket.socket]:
    """A socket for clients, of this user alone unless ``mode`` says otherwise. What a dead guard left in its place is replaced.

    Raises:
        UsageError: something else is there, or nothing can be.
    """
    if len(os.fsencode(path)) > UNIX_PATH_BYTES:
        raise UsageError(f"the socket's path is longer than {UNIX_PATH_BYTES} bytes: {path}", remedy="choose a shorter one with --socket")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _make_room(path)
        before = os.umask(0o777 & ~mode)
        try:
            sock.bind(str(path))
        finally:
            os.umask(before)
        made = os.stat(path)
        sock.listen(BACKLOG)
        try:
            yield sock
        finally:
            with contextlib.suppress(OSError):
                there = os.lstat(path)
                if (there.st_dev, there.st_ino) == (made.st_dev, made.st_ino):
                    os.unlink(path)
    except OSError as problem:
        message = f"no socket can be made at {path}: {problem.strerror or problem}"
        raise UsageError(message, remedy="choose another place with --socket") from problem
    finally:
        sock.close()


def _make_room(path: Path) -> None:
    try:
        facts = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(facts.st_mode):
        raise UsageError(f"{path} exists, and is no socket", remedy="choose another place with --socket")
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(str(path)) == 0:
            raise UsageError(f"somebody serves {path} already", remedy="choose another place with --socket")
    os.unlink(path)


def path_maps(root: Path, maps: Sequence[str]) -> tuple[PathMap, ...]:
    """The project under the names that clients have for it, and what else may be mounted.

    Raises:
        UsageError: a map is not INSIDE=HOST, or its folder is none.
    """
    found = []
    for text in maps:
        inside, equals, host = text.partition("=")
        if not equals or not inside.startswith("/") or os.path.normpath(inside) != inside or inside == "/":
            raise UsageError(f"{text!r} is not INSIDE=HOST", remedy="such as --map /workspaces/app=/home/me/app")
        folder = os.path.realpath(host)
        if not os.path.isdir(folder):
            raise UsageError(f"{host!r} is no folder", remedy="--map INSIDE=HOST needs an existing one")
        found.append(PathMap(inside, folder))
    found.sort(key=lambda one: one.host != str(root))  # the project itself comes first
    if not any(one.inside == str(root) for one in found):
        found.append(PathMap(str(root), str(root)))
    found.sort(key=lambda one: one.host != str(root))
    return tuple(found)


def has_secrets(maps: Sequence[PathMap], rules: SandboxRules) -> bool:
    """Whether a file of what may be mounted is masked. In doubt it is."""
    try:
        return bool(rules.mask) and any(secrets_of(one.host, rules).paths for one in maps)
    except (OSError, Denied):
        return True


def folder_tree(root: Path) -> Tree:
    """The project's files as they are now; what leads out of it is none. A compose file that the user named may lie anywhere."""

    def path_of(name: str) -> Path | None:
        path = Path(os.path.realpath(root / name))
        return path if path.is_file() and (os.path.isabs(name) or path.is_relative_to(root)) else None

    def read(name: str) -> bytes | None:
        path = path_of(name)
        with contextlib.suppress(OSError):
            if path is not None:
                with path.open("rb") as file:
                    return file.read(MAX_FILE_BYTES)
        return None

    return Tree(lambda names: frozenset(name for name in names if path_of(name) is not None), read)


def forget_old(paths: Paths) -> None:
    """Logs of guards that ended long ago."""
    ended = [folder for folder in sorted(guards(paths).glob("g*")) if not (folder / MARK).exists()]
    for folder in ended[:-KEEP_FINISHED]:
        with contextlib.suppress(OSError):
            trees.remove(folder)
