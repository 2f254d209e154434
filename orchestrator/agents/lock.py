"""Lock files of agents: which packages, at which place, with which digest. Pure.

No registry stands in a lock: its packages come from whatever registry the user's own configuration names, and the digests say whether
they are the right ones. ``from_npm`` and ``from_pip`` make locks of what these programs resolved.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NoReturn

from orchestrator.errors import ConfigError

SCHEMA = "aienv.agent-lock/1"
MAX_LOCK_BYTES = 4 << 20
MAX_PACKAGES = 5000
MAX_PACKED_BYTES = 1 << 30  # of one package
CPUS: Mapping[str, str] = {"x86_64": "x64", "aarch64": "arm64"}  # of the machine -> as npm has it

_SEGMENT = r"node_modules/(?:@[a-z0-9~_-][a-z0-9._~-]*/)?[A-Za-z0-9~_-][A-Za-z0-9._~-]*"
_PATH = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*", re.ASCII)
_NAME = re.compile(r"(?:@[a-z0-9~_-][a-z0-9._~-]*/)?[A-Za-z0-9~_-][A-Za-z0-9._~-]*", re.ASCII)
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+!_-]{0,127}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PYTHON = re.compile(r"3\.[0-9]{1,2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """``path``: below the agent's folder. ``size_bytes``: as it is sent. ``cpu``: for which processors; empty: for all."""

    path: str
    name: str
    version: str
    integrity: str
    size_bytes: int
    cpu: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PypiPackage:
    """``sha256``: of the file that pip chose for ``Lock.python`` on ``Lock.machine``."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Lock:
    """``package`` and ``version``: of the agent itself. ``python``, ``machine``: where the digests of ``pypi`` hold."""

    kind: Literal["npm", "pypi"]
    package: str
    version: str
    npm: tuple[NpmPackage, ...] = ()
    pypi: tuple[PypiPackage, ...] = ()
    python: str = ""
    machine: str = ""

    @property
    def digest(self) -> str:
        """64 hexadecimal digits; the same for locks that say the same."""
        return hashlib.sha256(dump(self)).hexdigest()

    def packages_for(self, cpu: str) -> tuple[NpmPackage, ...]:
        return tuple(one for one in self.npm if not one.cpu or cpu in one.cpu)


def sha512_of(integrity: str) -> bytes:
    """The 64 bytes that ``sha512-...`` says.

    Raises:
        ValueError: another form or digest.
    """
    kind, _, text = integrity.partition("-")
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if kind != "sha512" or len(found) != 64:
        raise ValueError(f"{integrity[:80]!r} is no sha512")
    return found


def parse_lock(data: bytes, source: str) -> Lock:
    """Read a lock file. ``source`` names it in messages.

    Raises:
        ConfigError: it is no lock file; with the key.
    """
    if len(data) > MAX_LOCK_BYTES:
        _refuse(source, "", f"is larger than {MAX_LOCK_BYTES >> 20} MiB")
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError):
        _refuse(source, "", "is no JSON")
    if not isinstance(whole, dict) or whole.get("schema") != SCHEMA:
        _refuse(source, "schema", f"is not {SCHEMA!r}")
    kind = whole.get("kind")
    if kind not in ("npm", "pypi"):
        _refuse(source, "kind", "is neither 'npm' nor 'pypi'")
    known = {"schema", "kind", "package", "version", "packages", *(("python", "machine") if kind == "pypi" else ())}
    if unknown := sorted(set(whole) - known):
        _refuse(source, unknown[0], "unknown key")
    listed = whole.get("packages")
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_PACKAGES:
        _refuse(source, "packages", f"is no list of 1 to {MAX_PACKAGES} packages")
    package, version = _matched(source, "package", whole.get("package"), _NAME), _matched(source, "version", whole.get("version"), _VERSION)
    if kind == "npm":
        npm = tuple(_npm(source, f"packages.{number}", one) for number, one in enumerate(listed))
        paths = {one.path.lower() for one in npm}
        if len(paths) != len(npm):
            _refuse(source, "packages", "two packages have one place")
        return Lock("npm", package, version, npm=npm)
    pypi = tuple(_pypi(source, f"packages.{number}", one) for number, one in enumerate(listed))
    python = _matched(source, "python", whole.get("python"), _PYTHON)
    return Lock("pypi", package, version, pypi=pypi, python=python, machine=_matched(source, "machine", whole.get("machine"), _NAME))


def _npm(source: str, key: str, entry: object) -> NpmPackage:
    entry = _object(source, key, entry, {"path", "name", "version", "integrity", "bytes", "cpu"})
    size, cpu, integrity = entry.get("bytes"), entry.get("cpu", []), entry.get("integrity")
    try:
        sha512_of(integrity if isinstance(integrity, str) else "")
    except ValueError as problem:
        _refuse(source, f"{key}.integrity", str(problem))
    if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= MAX_PACKED_BYTES:
        _refuse(source, f"{key}.bytes", f"is no size of 1 to {MAX_PACKED_BYTES} bytes")
    if not isinstance(cpu, list) or not all(one in CPUS.values() for one in cpu):
        _refuse(source, f"{key}.cpu", f"is no list of {', '.join(CPUS.values())}")
    return NpmPackage(
        _matched(source, f"{key}.path", entry.get("path"), _PATH),
        _matched(source, f"{key}.name", entry.get("name"), _NAME),
        _matched(source, f"{key}.version", entry.get("version"), _VERSION),
        str(integrity),
        size,
        tuple(map(str, cpu)),
    )


def _pypi(source: str, key: str, entry: object) -> PypiPackage:
    entry = _object(source, key, entry, {"name", "version", "sha256"})
    return PypiPackage(
        _matched(source, f"{key}.name", entry.get("name"), _NAME),
        _matched(source, f"{key}.version", entry.get("version"), _VERSION),
        _matched(source, f"{key}.sha256", entry.get("sha256"), _SHA256),
    )


def _object(source: str, key: str, entry: object, known: set[str]) -> dict[str, object]:
    if not isinstance(entry, dict):
        _refuse(source, key, "is no object")
    if unknown := sorted(set(entry) - known):
        _refuse(source, f"{key}.{unknown[0]}", "unknown key")
    return entry


def _matched(source: str, key: str, value: object, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or len(value) > 1000 or not pattern.fullmatch(value):
        _refuse(source, key, f"{ascii(value)[:80]} is not what stands here")
    return value


def _refuse(source: str, key: str, problem: str) -> NoReturn:
    raise ConfigError(
        f"{source}: {ascii(key)[1:-1][:120] + ': ' if key else ''}{problem}", remedy="make it anew: aienv agents update", code="agent-lock"
    )


def dump(lock: Lock) -> bytes:
    """The file of a lock; one package a line, so that a change of versions can be read."""
    head: dict[str, object] = {"schema": SCHEMA, "kind": lock.kind, "package": lock.package, "version": lock.version}
    entries: list[dict[str, object]]
    if lock.kind == "npm":
        entries = [
            {"path": one.path, "name": one.name, "version": one.version, "integrity": one.integrity, "bytes": one.size_bytes}
            | ({"cpu": list(one.cpu)} if one.cpu else {})
            for one in sorted(lock.npm, key=lambda one: one.path)
        ]
    else:
        head |= {"python": lock.python, "machine": lock.machine}
        entries = [{"name": one.name, "version": one.version, "sha256": one.sha256} for one in sorted(lock.pypi, key=lambda one: one.name)]
    first = "".join(f" {json.dumps(key)}: {json.dumps(value)},\n" for key, value in head.items())
    lines = ",\n".join(f"  {json.dumps(entry)}" for entry in entries)
    return f'{{\n{first} "packages": [\n{lines}\n ]\n}}\n'.encode()


def from_npm(document: object) -> tuple[NpmPackage, ...]:
    """The packages of npm's ``package-lock.json`` that run on Linux with glibc, sizes still 0.

    What belongs to development, to another system or to another C library is left out, and what comes inside of another package.

    Raises:
        ValueError: a package comes from elsewhere than a registry, or has no sha512.
    """
    packages = document.get("packages") if isinstance(document, dict) else None
    if not isinstance(packages, dict):
        raise ValueError("it is no package-lock.json of version 2 or 3")
    found = []
    for path, entry in packages.items():
        if path == "" or not isinstance(entry, dict) or entry.get("dev") or entry.get("inBundle") or not _is_for_us(entry):
            continue
        name, version, integrity = entry.get("name") or path.rpartition("node_modules/")[2], entry.get("version"), entry.get("integrity")
        if entry.get("link") or not all(isinstance(one, str) for one in (name, version, integrity)):
            raise ValueError(f"{path[:100]!r} does not come from a registry")
        found.append(NpmPackage(path, str(name), str(version), _only_sha512(str(integrity)), 0, _cpus(entry)))
    return tuple(sorted(found, key=lambda one: one.path))


def _is_for_us(entry: Mapping[str, object]) -> bool:
    return _admits(entry.get("os"), ("linux",)) and _admits(entry.get("libc"), ("glibc",)) and _admits(entry.get("cpu"), CPUS.values())


def _admits(listed: object, ours: Iterable[str]) -> bool:
    """npm's ``os``, ``cpu`` and ``libc``: names, and names with ``!`` that are not taken."""
    names = [listed] if isinstance(listed, str) else listed if isinstance(listed, list) else []
    wanted = [name for name in names if isinstance(name, str) and not name.startswith("!")]
    return any((not wanted or one in wanted or "any" in wanted) and f"!{one}" not in names for one in ours)


def _cpus(entry: Mapping[str, object]) -> tuple[str, ...]:
    found = tuple(cpu for cpu in CPUS.values() if _admits(entry.get("cpu"), (cpu,)))
    return () if len(found) == len(CPUS) else found


def _only_sha512(integrity: str) -> str:
    chosen = next((one for one in integrity.split() if one.startswith("sha512-")), "")
    sha512_of(chosen)
    return chosen


def from_pip(report: object) -> tuple[PypiPackage, ...]:
    """The packages of ``pip install --report``.

    Raises:
        ValueError: it is no such report, or a package has no sha256.
    """
    listed = report.get("install") if isinstance(report, dict) else None
    if not isinstance(listed, list):
        raise ValueError("it is no report of pip")
    found = []
    for item in listed:
        try:
            about, digest = item["metadata"], item["download_info"]["archive_info"]["hashes"]["sha256"]
            found.append(PypiPackage(re.sub(r"[-_.]+", "-", about["name"]).lower(), about["version"], digest))
        except (KeyError, TypeError):
            raise ValueError("a package has no name, version or sha256") from None
    return tuple(found)
