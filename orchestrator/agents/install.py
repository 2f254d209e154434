"""How an agent's program comes to be on this machine: packages of a lock file, in one read-only folder per version.

No npm, no node and no script of a package is needed or run. A folder is made beside its place and renamed into it, so what is there is
whole. ``host`` is as published, for a sandbox that has the host's system folders. ``container`` is for any image, also one without glibc:
its programs name the toolbox's loader (``images/toolbox.py``), everything else in it is shared with ``host`` by hard links.

    <cache>/agents/<profile>-<version>-<digest>[-container]/    about.json  bin/<profile>  node_modules/...
"""

import contextlib
import hashlib
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from orchestrator.agents.lock import CPUS, Lock, NpmPackage, parse_lock
from orchestrator.agents.moved import LOADERS, copy_moved, find_programs, settle_modes
from orchestrator.errors import ConfigError, EnvironmentFailed
from orchestrator.model.agent import AGENTS_INSIDE, Profile, Program
from orchestrator.model.paths import paths_from
from orchestrator.repos.lock import locked

Variant = Literal["host", "container"]
Say = Callable[[str], None]

LOCK_S = 1800.0  # another process may be fetching the same
UNUSED_S = 14 * 86400.0  # versions that no run has asked for since; a run may hold one for as long as it lasts
NODE = Profile("node", "Node.js", Program("npm", "node-linux-{arch}", "22.23.5", "node_modules/node-linux-{arch}/bin/node"), headless=())


@dataclass(frozen=True, slots=True)
class Installed:
    """``entry``: the words before the agent's own, inside. ``mounts``: (folder here, path inside), all read-only, below AGENTS_INSIDE.

    ``digest``: ``sha256:`` of the lock files; empty for a program of the image, as ``version`` is.
    """

    folder: Path
    entry: tuple[str, ...]
    mounts: tuple[tuple[str, str], ...]
    version: str
    digest: str


def ensure(profile: Profile, cache: Path, environ: Mapping[str, str], say: Say, variant: Variant) -> Installed:
    """The profile's program; fetched when it is missing (seconds to minutes), else found (about a millisecond).

    Raises:
        EnvironmentFailed: a package cannot be had or is another one, or there is no disk left.
        ConfigError: the profile has no lock file, or that cannot be read.
    """
    if profile.program.kind == "image":
        return _of_the_image(profile)
    place = _Place.of(profile, cache, environ)
    place.home.mkdir(parents=True, exist_ok=True)
    (place.home / "locks").mkdir(exist_ok=True)
    folder = _ensured(place, place.host, lambda partial: _fill(place, partial, environ, say))
    if variant == "container" and _about(folder).moved:
        folder = _ensured(place, place.container, lambda partial: copy_moved(place.host, partial, _about(place.host).moved))
    node = ensure(NODE, cache, environ, say, variant) if profile.program.runtime == "node" and profile is not NODE else None
    return _installed(place, folder, node)


def installed(profile: Profile, cache: Path, environ: Mapping[str, str] | None = None) -> Installed | None:
    """What ``ensure`` would find for ``host`` without fetching anything; None: it would fetch, or the profile has no lock file."""
    if profile.program.kind == "image":
        return _of_the_image(profile)
    try:
        place = _Place.of(profile, cache, os.environ if environ is None else environ)
        if not _is_whole(place.host):
            return None
    except (ConfigError, EnvironmentFailed):
        return None
    node = installed(NODE, cache, environ) if profile.program.runtime == "node" and profile is not NODE else None
    if profile.program.runtime == "node" and profile is not NODE and node is None:
        return None
    return _installed(place, place.host, node)


def remove(name: str, cache: Path, *, keep: frozenset[str] = frozenset(), unused_s: float = 0.0) -> tuple[str, ...]:
    """Remove the folders of the profile ``name`` but those in ``keep`` and those used within ``unused_s``. The names of what is gone."""
    return _sweep(cache / "agents", lambda about: about.profile == name, keep, unused_s)


def sweep(cache: Path, unused_s: float) -> tuple[str, ...]:
    """Remove all that no run has asked for since ``unused_s``, and what killed processes left. The names of what is gone."""
    return _sweep(cache / "agents", lambda about: True, frozenset(), unused_s)


def lock_of(profile: Profile, environ: Mapping[str, str]) -> Lock:
    """The user's own lock file of the profile, else the one that came with us.

    Raises:
        ConfigError: there is none, it cannot be read, or it is one of another package.
    """
    own = user_lock(profile.name, environ)
    shipped = resources.files("orchestrator.agents") / "data" / f"{profile.name}.lock.json"
    if own.is_file():
        lock = parse_lock(_read(own), str(own))
    elif shipped.is_file():
        lock = parse_lock(shipped.read_bytes(), f"our own {shipped.name}")
    else:
        raise ConfigError(
            f"the agent {profile.name!r} has no lock file of its packages", remedy=f"aienv agents update {profile.name}", code="agent-lock"
        )
    if (lock.kind, lock.package) != (profile.program.kind, lock_name(profile.program)):
        raise ConfigError(
            f"the lock file of the agent {profile.name!r} is for {lock.package} ({lock.kind}),"
            f" its profile names {profile.program.package} ({profile.program.kind})",
            remedy=f"aienv agents update {profile.name}",
            code="agent-lock",
        )
    return lock


def user_lock(name: str, environ: Mapping[str, str]) -> Path:
    return paths_from(environ).config / "agents" / f"{name}.lock.json"


def lock_name(program: Program) -> str:
    """A lock holds the packages for every processor."""
    return filled(program.package, "x86_64")


def filled(text: str, machine: str) -> str:
    """``{arch}`` is npm's name of the processor, ``{machine}`` the kernel's."""
    return text.replace("{arch}", CPUS[machine]).replace("{machine}", machine)


# --- where things are ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """One version of one profile's program: its folders, there or not."""

    profile: Profile
    lock: Lock
    machine: str
    home: Path
    stem: str

    @classmethod
    def of(cls, profile: Profile, cache: Path, environ: Mapping[str, str]) -> "_Place":
        machine = platform.machine()
        if machine not in CPUS:
            raise EnvironmentFailed(f"no agents are known for the processor {machine!r}, only for {', '.join(CPUS)}")
        lock = lock_of(profile, environ)
        python = f"-py{_python_minor(environ)}" if lock.kind == "pypi" else ""
        return cls(profile, lock, machine, cache / "agents", f"{profile.name}-{lock.version}{python}-{lock.digest[:12]}")

    @property
    def host(self) -> Path:
        return self.home / self.stem

    @property
    def container(self) -> Path:
        return self.home / f"{self.stem}-container"

    @property
    def inside(self) -> str:
        return f"{AGENTS_INSIDE}/{self.profile.name}"

    @property
    def entry(self) -> str:
        return filled(self.profile.program.entry, self.machine)


@dataclass(frozen=True, slots=True)
class _About:
    """What a folder says of itself. ``moved``: programs that name glibc's loader."""

    profile: str
    moved: tuple[str, ...]


def _about(folder: Path) -> _About:
    """Raises OSError, ValueError: it is none of ours, or broken."""
    found = json.loads((folder / "about.json").read_bytes())
    if not isinstance(found, dict) or not isinstance(found.get("moved"), list):
        raise ValueError("not as expected")
    return _About(str(found.get("profile")), tuple(map(str, found["moved"])))


def _is_whole(folder: Path) -> bool:
    try:
        _about(folder)
    except (OSError, ValueError):
        return False
    return True


def _installed(place: _Place, folder: Path, node: Installed | None) -> Installed:
    program, mounts = place.profile.program, ((str(folder), place.inside),)
    if place.lock.kind == "pypi" or place.profile is NODE:
        entry: tuple[str, ...] = (f"{place.inside}/bin/{place.profile.name}",)
    elif program.runtime == "node" and node is not None:
        entry = (*node.entry, f"{place.inside}/{place.entry}")
    else:
        entry = (f"{place.inside}/{place.entry}",)
    if node is None:
        return Installed(folder, entry, mounts, place.lock.version, f"sha256:{place.lock.digest}")
    both = hashlib.sha256(f"{place.lock.digest}\n{node.digest}".encode()).hexdigest()
    return Installed(folder, entry, (*mounts, *node.mounts), place.lock.version, f"sha256:{both}")


def _of_the_image(profile: Profile) -> Installed:
    return Installed(Path("/"), (profile.program.entry,), (), "", "")


# --- making ----------------------------------------------------------------------------------------------------------


def _ensured(place: _Place, target: Path, fill: Callable[[Path], None]) -> Path:
    """``target``, made by ``fill`` in an empty folder beside it when it is not there."""
    if _is_whole(target):
        _touch(target)
        return target
    with locked(place.home / "locks" / target.name, shared=False, deadline_s=LOCK_S, doing=f"installing {place.profile.name}"):
        if _is_whole(target):
            return target
        _forget_partial(place.home, target.name)
        try:
            with _fresh(place.home, target.name) as partial:
                fill(partial)
                if target.exists():  # somebody took a part of it away
                    _discard(target)
                partial.rename(target)
        except OSError as problem:
            raise EnvironmentFailed(
                f"{place.profile.name} cannot be installed in {place.home}: {problem.strerror}",
                remedy="make room: aienv gc --caches",
                code="agent-install",
            ) from problem
    remove(place.profile.name, place.home.parent, keep=frozenset([place.host.name, place.container.name]), unused_s=UNUSED_S)
    return target


@contextlib.contextmanager
def _fresh(home: Path, name: str) -> Iterator[Path]:
    partial = Path(tempfile.mkdtemp(prefix=f"new-{name}-", dir=home))
    partial.chmod(0o755)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _forget_partial(home: Path, name: str) -> None:
    """What a killed process left; its lock is ours now."""
    for left in home.glob(f"new-{name}-????????"):
        shutil.rmtree(left, ignore_errors=True)


def _python_minor(environ: Mapping[str, str]) -> str:
    from orchestrator.agents.pypi import python_minor

    return python_minor(environ)


def _fill(place: _Place, partial: Path, environ: Mapping[str, str], say: Say) -> None:
    program, name = place.profile.program, f"{place.profile.name} {place.lock.version}"
    if place.lock.kind == "pypi":
        from orchestrator.agents import pypi

        pypi.install(place.profile.name, program, place.lock, partial, environ, say)
    else:
        packages = place.lock.packages_for(CPUS[place.machine])
        if not any(place.entry.startswith(f"{package.path}/") for package in packages):
            raise EnvironmentFailed(
                f"{name} is not published for this machine's processor ({place.machine})", remedy="use another agent", code="agent-install"
            )
        total_mib = max(1, sum(package.size_bytes for package in packages) >> 20)
        say(f"{name}: fetching {len(packages)} package{'s' * (len(packages) != 1)}, {total_mib} MiB")
        from orchestrator.agents.fetch import fetcher

        with fetcher(environ, partial, say) as source:
            source.fetch(packages, lambda package, archive: _put(package, archive, partial), say, name)
        _link(place, partial)
    moved = find_programs(partial, LOADERS[place.machine])
    about = {"profile": place.profile.name, "version": place.lock.version, "digest": place.lock.digest, "moved": moved}
    (partial / "about.json").write_text(json.dumps(about, indent=1) + "\n")
    settle_modes(partial)
    say(f"{name}: installed")


def _put(package: NpmPackage, archive: Path, partial: Path) -> None:
    from orchestrator.agents.unpack import unpack

    unpack(archive, partial / package.path, f"the archive of {package.name} {package.version}")


def _link(place: _Place, partial: Path) -> None:
    """``bin/<profile>``: for people and for shells inside."""
    entry = partial / place.entry
    if not entry.is_file():
        what = f"{place.lock.package} {place.lock.version} holds no {place.entry}"
        raise EnvironmentFailed(what, remedy="correct 'entry' in its profile", code="agent-install")
    entry.chmod(0o755)
    (partial / "bin").mkdir()
    link = partial / "bin" / place.profile.name
    if place.profile.program.runtime == "node":
        link.write_text(f'#!/bin/sh\nexec {AGENTS_INSIDE}/node/bin/node {place.inside}/{place.entry} "$@"\n')
        link.chmod(0o755)
    else:
        link.symlink_to(Path("..", place.entry))


# --- removing --------------------------------------------------------------------------------------------------------


def _touch(folder: Path) -> None:
    """It counts as used."""
    with contextlib.suppress(OSError):
        os.utime(folder)


def _sweep(home: Path, matches: Callable[[_About], bool], keep: frozenset[str], unused_s: float) -> tuple[str, ...]:
    gone = []
    for folder in sorted(home.iterdir()) if home.is_dir() else ():
        try:
            old = time.time() - folder.lstat().st_mtime >= unused_s
            if folder.name.startswith(("new-", "old-")):
                old = time.time() - folder.lstat().st_mtime > LOCK_S + UNUSED_S  # in the making, unless it is very old
            elif folder.name in keep or not matches(_about(folder)):
                continue
            if old:
                _discard(folder)
                gone.append(folder.name)
        except (OSError, ValueError):
            continue
    return tuple(name for name in gone if not name.startswith(("new-", "old-")))


def _discard(folder: Path) -> None:
    """First out of its place, so that a half-removed folder is not taken for whole."""
    aside = folder.with_name(f"old-{os.getpid()}-{folder.name.removeprefix('old-')}")
    folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise ConfigError(f"{path} cannot be read: {problem.strerror}") from problem
