"""How the source of a bind is held fast, so that no swap of a path against a symbolic link can win. Rim.

A daemon resolves the source of a bind when a container starts or restarts, and anew for each copy from or into it (``docker cp``), also
while it runs: long after it was judged.
Four ways; each begins with a resolution below the map's root that follows no link at all:

* ``subpath``: the map is a volume, the source a path within it, and the engine itself resolves that without leaving the volume;
* ``descriptor``: what was opened is mounted on a folder that only we can write, and the daemon gets that folder's path;
* ``freeze``: the daemon gets the plain path, and whoever could swap it is suspended between ``check`` and the daemon's answer;
* ``whole``: the map's root alone, which no client can swap.

Rule of its own: whatever is mounted below the folder of ``Pins`` is ours. So nothing needs to be written down before it is mounted, and
what a killed process left is found in the kernel's own table.
"""

import contextlib
import ctypes
import errno
import os
import re
import socket
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from threading import Lock

from orchestrator.guard.beneath import Identity, identity_of, open_below
from orchestrator.guard.calls import BindAsk, Denied, Object, Session, SocketAsk, deny
from orchestrator.guard.mounts import RESERVED_VOLUMES, host_path, inside_path
from orchestrator.model.guard import MANAGED, ROLE, RUN, Pinning

SUBPATH_API = (1, 45)
CONNECT_S = 5.0

_MS_BIND, _MS_PRIVATE = 0x1000, 0x40000
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
_CAP_SYS_ADMIN = 1 << 21

_libc = ctypes.CDLL(None, use_errno=True)


# --- which way -----------------------------------------------------------------------------------------------------------------


def choose_pinning(api: tuple[int, int], daemon: str, *, euid: int, secrets: bool = False) -> Pinning:
    """The surest way that this daemon and our rights allow. ``api``: the daemon's newest; ``daemon``: its address. ``secrets``: whether the
    project has some, under masks: within a volume the engine follows links, so a part without secrets can be swapped for one that has.

    A guard that can suspend nobody must take ``whole`` for ``freeze``.
    """
    if api >= SUBPATH_API and not secrets:
        return "subpath"
    if euid == 0 and _may_mount() and _sees_our_mounts(daemon):
        return "descriptor"
    return "subpath" if api >= SUBPATH_API else "freeze"


def _may_mount() -> bool:
    with contextlib.suppress(OSError):
        found = re.search(r"^CapEff:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
        return found is not None and bool(int(found[1], 16) & _CAP_SYS_ADMIN)
    return False


def _sees_our_mounts(daemon: str) -> bool:
    """Whether the daemon lives in our mount namespace. In doubt not: it would then mount our empty folder."""
    if not daemon.startswith("unix://"):
        return False
    with contextlib.suppress(OSError, ValueError):
        with socket.socket(socket.AF_UNIX) as wire:
            wire.settimeout(CONNECT_S)
            wire.connect(daemon.removeprefix("unix://"))
            pid, _, _ = struct.unpack("3i", wire.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if pid == 1:  # a socket of systemd, which hands it to the daemon
            pid = _pid_in_file() or pid
        return pid > 0 and os.stat(f"/proc/{pid}/ns/mnt").st_ino == os.stat("/proc/self/ns/mnt").st_ino
    return False


def _pid_in_file() -> int | None:
    with contextlib.suppress(OSError, ValueError):
        pid = int(Path("/run/docker.pid").read_text())
        return pid if Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd" else None
    return None


# --- holding -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Pin:
    key: str
    ask: BindAsk
    place: Path
    identity: Identity


class Pins:
    """The sources that one session's containers hold. Threads may share it.

    ``folder``: for us alone, and seen by the daemon under the same path; it need not exist until something is mounted there.
    """

    def __init__(self, session: Session, folder: Path) -> None:
        self.session = session
        self._how: Pinning = session.plan.pinning
        self._folder = folder / "pins"
        self._pins: list[_Pin] = []
        self._count = count()
        self._lock = Lock()

    def hold(self, ask: BindAsk | SocketAsk, key: str = "") -> Object:
        """The entry of HostConfig.Mounts that mounts exactly what ``ask`` names now. ``key``: with which it is released.

        An entry with ``VolumeOptions.Subpath`` needs a create call of API 1.45, whatever the client speaks.

        Raises:
            Denied: the source is not there, leads through a link, or is no file and no folder.
        """
        if isinstance(ask, SocketAsk):
            if self.session.stand_in is None:
                raise deny("mounts.socket", "the daemon's socket has no stand-in here")
            return bind_entry(self.session.stand_in, ask.target, read_only=False)
        if self._how == "whole" and ask.path:
            raise _only_whole(ask, self.session)
        with resolved(ask, self.session, cross=self._how != "subpath") as source:
            if self._how == "subpath":
                return self._volume_entry(ask)
            path = str(self._pin(ask, key, source)) if self._how == "descriptor" else host_path(ask, self.session)
            return bind_entry(path, ask.target, read_only=ask.read_only)

    def check(self, ask: BindAsk | SocketAsk, key: str | None = None) -> None:
        """Before a start, a restart, or a copy from or into a container: the source is still one that may be mounted.

        ``freeze``: while everyone who could swap it is suspended. ``descriptor``: a source that has been replaced by another, as editors
        and git do, is pinned anew. A source that is gone and was once made is made again. ``key``: of the container; None: of any.

        Raises:
            Denied: as ``hold``.
        """
        if isinstance(ask, SocketAsk):
            return
        if self._how == "whole" and ask.path:
            raise _only_whole(ask, self.session)
        with resolved(ask, self.session, cross=self._how != "subpath") as source:
            if self._how == "descriptor":
                self._renew(ask, source, key)

    def release(self, key: str) -> None:
        """Let go of what a removed container held, or one that was not made. Nothing held is fine."""
        with self._lock:
            for pin in [pin for pin in self._pins if pin.key == key]:
                _take_away(pin.place)
            self._pins = [pin for pin in self._pins if pin.key != key]

    def release_all(self) -> None:
        """Let go of everything, also of what an earlier process left, and remove the folder."""
        with self._lock:
            self._pins = []
            clear(self._folder)

    def volume_name(self, map_index: int) -> str:
        """The volume that is a whole map, for ``subpath``. Clients can neither name nor see it."""
        return f"{RESERVED_VOLUMES}{self.session.id}-{map_index}"

    def volume_body(self, map_index: int) -> Object:
        """What makes it (POST /volumes/create): to be done, and its labels compared, before a container is made with it."""
        return {
            "Name": self.volume_name(map_index),
            "Driver": "local",
            "DriverOpts": {"type": "none", "o": "bind", "device": self.session.maps[map_index].host},
            "Labels": {MANAGED: "1", RUN: self.session.id, ROLE: "map"},
        }

    def _volume_entry(self, ask: BindAsk) -> Object:
        subpath: Object = {"Subpath": ask.path} if ask.path else {}
        options: Object = {"NoCopy": True, **subpath}  # an image's files are no business of an empty folder of the project
        return {
            "Type": "volume", "Source": self.volume_name(ask.map), "Target": ask.target, "ReadOnly": ask.read_only,
            "VolumeOptions": options,
        }  # fmt: skip

    def _pin(self, ask: BindAsk, key: str, source: int) -> Path:
        with self._lock:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            places = (self._folder / str(number) for number in self._count)
            place = next(one for one in places if not os.path.lexists(one))  # an earlier process may have left some
            self._pins.append(_Pin(key, ask, place, _mount_on(place, source)))
            return place

    def _renew(self, ask: BindAsk, source: int, key: str | None) -> None:
        identity = identity_of(os.fstat(source))
        with self._lock:
            for number, pin in enumerate(self._pins):
                if pin.ask == ask and key in (None, pin.key) and not (pin.identity == identity and _is_at(pin.place, identity)):
                    _take_away(pin.place)
                    self._pins[number] = replace(pin, identity=_mount_on(pin.place, source))


def bind_entry(source: str, target: str, *, read_only: bool) -> Object:
    """A bind that takes no other mounts along, so that read-only holds for all of it."""
    options: Object = {"Propagation": "rprivate", "NonRecursive": True}
    return {"Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only, "BindOptions": options}


def _only_whole(ask: BindAsk, session: Session) -> Denied:
    root = session.maps[ask.map].inside
    reason = f"{inside_path(ask, session)!r} could be swapped while a container starts, and this engine offers no means against it"
    return deny("mounts.whole", reason, field="HostConfig", allowed=f"{root} as a whole", remedy="use an engine with API 1.45 or newer")


# --- resolving below a root ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def resolved(ask: BindAsk, session: Session, *, cross: bool = True) -> Iterator[int]:
    """A descriptor (O_PATH) of the source of ``ask``: a file or folder, reached through no link. ``cross``: through other mounts, too.

    Raises:
        Denied: there is none, and none may be made.
    """
    with contextlib.ExitStack() as undo:
        try:
            root = os.open(session.maps[ask.map].host, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            undo.callback(os.close, root)
            source = _open_or_make(root, ask, session, cross)
            undo.callback(os.close, source)
            _judge_kind(os.fstat(source), ask, session)
        except OSError as problem:
            raise _refusal(problem, ask, session) from problem
        yield source


def _open_or_make(root: int, ask: BindAsk, session: Session, cross: bool) -> int:
    try:
        return open_below(root, ask.path, cross=cross)
    except FileNotFoundError:
        if not ask.make:
            raise
    with _as_user(session.uid, session.gid):
        _make_folders(root, ask.path)
    return open_below(root, ask.path, cross=cross)


def _make_folders(root: int, path: str) -> None:
    here = os.dup(root)
    try:
        for name in path.split("/"):
            made = _make_folder(name, here)
            access = os.O_RDONLY if made else os.O_PATH
            following = os.open(name, access | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = following
            if made:
                os.fchmod(here, 0o755)  # whatever our umask is: a container's user may be another
    finally:
        os.close(here)


def _make_folder(name: str, parent: int) -> bool:
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
    except FileExistsError:
        return False
    return True


@contextlib.contextmanager
def _as_user(uid: int, gid: int) -> Iterator[None]:
    """Make files as ``uid``: they are its own from the first moment, and root makes none where that user could not.

    A chown afterwards could hit what was put in the place meanwhile. The kernel changes this for the calling thread alone.
    """
    if os.geteuid() != 0 or (uid, gid) == (0, 0):
        yield
        return
    try:
        _libc.setfsgid(gid)
        _libc.setfsuid(uid)
        if (_libc.setfsuid(-1), _libc.setfsgid(-1)) != (uid, gid):
            raise PermissionError(errno.EPERM, f"cannot act as user {uid}")
        yield
    finally:
        _libc.setfsuid(os.geteuid())
        _libc.setfsgid(os.getegid())


def _judge_kind(facts: os.stat_result, ask: BindAsk, session: Session) -> None:
    if stat.S_ISLNK(facts.st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if not (stat.S_ISDIR(facts.st_mode) or stat.S_ISREG(facts.st_mode)):
        path = inside_path(ask, session)
        raise deny("mounts.special", f"{path!r} is a socket, pipe or device", field="HostConfig", allowed="files and folders")


def _refusal(problem: OSError, ask: BindAsk, session: Session) -> Denied:
    path, field = inside_path(ask, session), "HostConfig"
    match problem.errno:
        case errno.ENOENT:
            reason = f'invalid mount config for type "bind": bind source path does not exist: {path}'
            return deny("mounts.missing", reason, field=field, status=400)
        case errno.ELOOP:
            allowed = "the folder that it leads to, if it lies in the project"
            return deny("mounts.symlink", f"{path!r} is or leads through a symbolic link", field=field, allowed=allowed)
        case errno.ENOTDIR:
            # a link in the middle looks like this where names are opened one by one
            return deny("mounts.symlink", f"{path!r} leads through what is no folder", field=field)
        case errno.EXDEV:
            return deny("mounts.nested", f"{path!r} lies on another file system than the project", field=field)
        case _:
            return deny("mounts.unreadable", f"{path!r} cannot be mounted: {problem.strerror}", field=field)


# --- mounting ------------------------------------------------------------------------------------------------------------------


def _mount_on(place: Path, source: int) -> Identity:
    """Mount what ``source`` is on ``place``, which is made. Private: it travels to nobody."""
    facts = os.fstat(source)
    try:
        _make_place(place, folder=stat.S_ISDIR(facts.st_mode))
        _mount(f"/proc/self/fd/{source}", place, _MS_BIND)
        _mount(None, place, _MS_PRIVATE)
        if not _is_at(place, identity_of(facts)):
            raise OSError(errno.ESTALE, "another thing was mounted")
    except OSError as problem:
        _take_away(place)
        raise deny("mounts.pin", f"a source cannot be held fast: {problem.strerror}", field="HostConfig") from problem
    return identity_of(facts)


def _make_place(place: Path, *, folder: bool) -> None:
    if folder:
        place.mkdir(mode=0o700)
    else:
        os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def _mount(source: str | None, target: Path, flags: int) -> None:
    words = (os.fsencode(source) if source else None, os.fsencode(target), None, ctypes.c_ulong(flags), None)
    if _libc.mount(*words) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def _take_away(place: Path) -> None:
    """Unmount ``place`` and remove what was made for it. A place that is still a mount is not removed: the kernel refuses."""
    with contextlib.suppress(OSError):
        _unmount(place)
    with contextlib.suppress(OSError):
        if stat.S_ISDIR(os.lstat(place).st_mode):
            place.rmdir()
        else:
            place.unlink()


def _unmount(place: Path) -> None:
    if _libc.umount2(os.fsencode(place), _MNT_DETACH | _UMOUNT_NOFOLLOW) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(place))


def _is_at(place: Path, identity: Identity) -> bool:
    with contextlib.suppress(OSError):
        return identity_of(os.lstat(place)) == identity
    return False


# --- after a crash -------------------------------------------------------------------------------------------------------------


def unmount_below(folder: Path) -> tuple[str, ...]:
    """Unmount everything below ``folder``, innermost first; the mount points, as they were found. Nothing there is fine.

    Raises:
        OSError: a mount stays.
    """
    if folder.is_symlink():
        return ()
    gone: list[str] = []
    while points := _mounts_below(os.path.realpath(folder)):
        for point in points:
            _unmount(Path(point))
            gone.append(point)
    return tuple(gone)


def _mounts_below(folder: str) -> list[str]:
    points = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()]
    plain = [re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), point) for point in points]
    return [point for point in reversed(plain) if point.startswith(f"{folder}/") and not point.endswith("//deleted")]


def clear(folder: Path) -> None:
    """Unmount what is below ``folder`` and remove it: by calls that the kernel refuses on a mount, and never into what is below.

    Raises:
        OSError: a mount stays.
    """
    unmount_below(folder)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for entry in os.scandir(folder):
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    os.rmdir(entry.path)
                else:
                    os.unlink(entry.path)
        with contextlib.suppress(OSError):
            folder.rmdir()
