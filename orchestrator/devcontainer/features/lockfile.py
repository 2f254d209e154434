"""``devcontainer-lock.json``: which version of each feature was taken, beside the configuration.

It is read and honoured. It is written only when somebody asks: the folder belongs to the repository.
"""

import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.devcontainer.features.feature import Feature, Local, Oci
from orchestrator.devcontainer.features.order import collated
from orchestrator.devcontainer.features.references import DIGEST
from orchestrator.devcontainer.jsonc import BadJson, Json, parse
from orchestrator.errors import ConfigError

MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Locked:
    """``integrity``: the digest of the manifest, or of the archive."""

    version: str | None
    resolved: str
    integrity: str
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LockFile:
    """By the name that the user wrote."""

    features: Mapping[str, Locked]

    def integrity(self, written: str) -> str | None:
        locked = self.features.get(written)
        return locked.integrity if locked is not None else None

    def text(self) -> str:
        """As the reference writes it."""
        return json.dumps({"features": {name: _entry(one) for name, one in self.features.items()}}, indent=2, ensure_ascii=False) + "\n"


def path_beside(config_file: Path) -> Path:
    name = "devcontainer-lock.json"
    return config_file.with_name(f".{name}" if config_file.name.startswith(".") else name)


def read(path: Path) -> LockFile | None:
    """None: there is none. An empty file is one that holds nothing yet.

    Raises:
        ConfigError: it cannot be read, or is no lock file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not hold us
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _bad(path.name, "is no file")
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise _bad(path.name, f"cannot be read: {problem.strerror}") from None
    return parsed(data, path.name)


def parsed(data: bytes, where: str) -> LockFile:
    """Raises ConfigError: it is no lock file."""
    if len(data) > MAX_BYTES:
        raise _bad(where, f"has more than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8")
        value = parse(text, comments=False).value if text.strip() else {"features": {}}
    except UnicodeDecodeError:
        raise _bad(where, "is not UTF-8") from None
    except BadJson as problem:
        raise _bad(where, f"is not JSON: {problem}") from None
    features = value.get("features") if isinstance(value, dict) else None
    if not isinstance(features, dict):
        raise _bad(where, "has no object 'features'")
    return LockFile({name: _locked(name, one, where) for name, one in features.items()})


def of(features: Iterable[Feature], additional_only: frozenset[str]) -> LockFile:
    """What to write. Local features have no version; those that a command line added are not the configuration's."""
    kept = [one for one in features if not isinstance(one.source, Local) and one.written not in additional_only]
    return LockFile({one.written: _taken(one) for one in sorted(kept, key=lambda one: collated(one.written))})


def write(path: Path, lock: LockFile) -> None:
    """Whole or not at all; a link in its place is replaced and not followed."""
    partial = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(lock.text())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def _taken(feature: Feature) -> Locked:
    source = feature.source
    assert not isinstance(source, Local)
    place = f"{source.reference.registry}/{source.reference.path}@{source.digest}" if isinstance(source, Oci) else source.place
    return Locked(feature.manifest.version or None, place, source.digest, tuple(feature.manifest.depends_on))


def _entry(locked: Locked) -> dict[str, Json]:
    entry: dict[str, Json] = {"version": locked.version} if locked.version is not None else {}
    entry |= {"resolved": locked.resolved, "integrity": locked.integrity}
    return {**entry, "dependsOn": list(locked.depends_on)} if locked.depends_on else entry


def _locked(name: str, value: Json, where: str) -> Locked:
    if not isinstance(value, dict):
        raise _bad(where, f"has {name[:120]!r}, which is not an object")
    integrity, resolved, version, depends = (value.get(key) for key in ("integrity", "resolved", "version", "dependsOn"))
    if not isinstance(integrity, str) or not DIGEST.fullmatch(integrity):
        raise _bad(where, f"has no digest (sha256: and 64 hex digits) as 'integrity' of {name[:120]!r}")
    if not isinstance(resolved, str | None) or not isinstance(version, str | None) or not isinstance(depends, list | None):
        raise _bad(where, f"has a value of a wrong type in {name[:120]!r}")
    return Locked(version, resolved or "", integrity, tuple(str(one) for one in depends or ()))


def _bad(where: str, problem: str) -> ConfigError:
    return ConfigError(f"{where} {problem}", remedy="mend it, or remove it and let it be written anew", code="feature-lock")
