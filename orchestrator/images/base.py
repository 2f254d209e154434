"""The base image: what a task runs in when it names no image of its own.

Its name carries a digest of how it is made, so a new version of aienv with another recipe makes another image. It is built from
``images/base/Dockerfile`` where the engine has or can pull that file's base, else from Debian's packages with mmdebstrap: the same
list of packages and the same settings, no registry.
"""

import fcntl
import hashlib
import io
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from orchestrator.errors import EnvironmentFailed

REPOSITORY = "aienv/base"
SUITE = "bookworm"
LABELS: Mapping[str, str] = {"dev.aienv.managed": "1", "dev.aienv.image": "base"}
_DATA = Path(__file__).resolve().parent / "data"
_BOOTSTRAP_S = 1800.0
_SETTINGS = ("ENV", "LABEL", "USER", "WORKDIR", "CMD")
_ADD_USER = 'chroot "$1" useradd --create-home --uid 1000 --shell /bin/bash agent'

Progress = Callable[[str], None]


class ImageEngine(Protocol):
    """What is needed of an engine."""

    def image(self, reference: str) -> dict[str, Any] | None: ...

    def pull(self, reference: str, progress: Progress) -> None: ...

    def build(self, context: bytes, dockerfile: str, name: str, labels: Mapping[str, str], progress: Progress) -> str: ...

    def import_image(self, stream: IO[bytes], name: str, changes: tuple[str, ...]) -> str: ...


@dataclass(frozen=True, slots=True)
class BuiltImage:
    name: str
    id: str


def reference() -> str:
    """The name that this version's base image has."""
    return f"{REPOSITORY}:{hashlib.sha256((dockerfile() + packages_text()).encode()).hexdigest()[:12]}"


def dockerfile() -> str:
    return (_DATA / "base.Dockerfile").read_text()


def packages_text() -> str:
    return (_DATA / "base-packages.txt").read_text()


def packages() -> tuple[str, ...]:
    """The list without comments."""
    lines = (line.strip() for line in packages_text().splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def settings(text: str) -> tuple[str, ...]:
    """The lines of a Dockerfile that set something and run nothing; an import applies the same."""
    return tuple(line for line in text.splitlines() if line.split(" ", 1)[0] in _SETTINGS)


def parent(text: str) -> str:
    """What the Dockerfile starts from: the value of its first ARG."""
    match = re.search(r"^ARG BASE=(\S+)$", text, re.MULTILINE)
    if match is None:
        raise ValueError("the Dockerfile has no line ARG BASE=...")
    return match[1]


def ensure(engine: ImageEngine, cache: Path, say: Progress) -> BuiltImage:
    """The base image in this engine; made when it is missing.

    Raises:
        EnvironmentFailed: neither way works; the message has both causes.
    """
    name = reference()
    if (found := engine.image(name)) is not None:
        return BuiltImage(name, str(found["Id"]))
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "base-image.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several first runs at once: one builds, the others find it
        found = engine.image(name)
        return build(engine, cache, say) if found is None else BuiltImage(name, str(found["Id"]))


def build(engine: ImageEngine, cache: Path, say: Progress) -> BuiltImage:
    """Make it, also when it is there already. ``cache`` takes a temporary file of some hundred MiB."""
    name = reference()
    try:
        start_from = parent(dockerfile())
        if engine.image(start_from) is None:
            say(f"base image: fetching {start_from}")
            engine.pull(start_from, say)
        say(f"base image: building {name} from its Dockerfile")
        return BuiltImage(name, engine.build(context(), dockerfile(), name, LABELS, say))
    except EnvironmentFailed as problem:
        if shutil.which("mmdebstrap") is None:
            raise EnvironmentFailed(
                f"the base image cannot be made: {problem.message}; and mmdebstrap, which would do without a registry, is not installed",
                remedy="install mmdebstrap, give the Docker engine access to a registry, or name an image: --image",
                code="image-missing",
            ) from problem
        say("base image: no registry can be reached, building from Debian packages")
        return build_without_registry(engine, cache, say)


def context() -> bytes:
    """What the Dockerfile copies, as tar."""
    stream, data = io.BytesIO(), packages_text().encode()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo("packages.txt")
        member.size, member.mode = len(data), 0o644
        archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def build_without_registry(engine: ImageEngine, cache: Path, say: Progress) -> BuiltImage:
    """Debian's packages into a root file system, that into the engine."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="base-", dir=cache) as scratch:
        archive = Path(scratch, "root.tar")
        bootstrap(archive)
        say(f"base image: importing {archive.stat().st_size >> 20} MiB")
        return import_archive(engine, archive)


def import_archive(engine: ImageEngine, archive: Path) -> BuiltImage:
    """A root file system made by ``bootstrap`` as the base image."""
    name = reference()
    with open(archive, "rb") as stream:
        return BuiltImage(name, engine.import_image(stream, name, settings(dockerfile())))


def bootstrap(archive: Path) -> None:
    """Write the root file system to a tar file; needs mmdebstrap, and root only where user namespaces are closed.

    Raises:
        EnvironmentFailed: with the last lines of what it said.
    """
    argv = (
        *("mmdebstrap", "--variant=minbase", "--format=tar"),
        f"--include={','.join(packages())}",
        *("--aptopt=Acquire::Languages none", "--aptopt=Acquire::Retries 3", "--aptopt=APT::Install-Recommends false"),
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "info", "locale", "man")),
        f"--customize-hook={_ADD_USER}",
        *(SUITE, str(archive)),
    )
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_BOOTSTRAP_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise EnvironmentFailed(f"the base image cannot be made: {problem}", code="image-missing") from problem
    if done.returncode != 0:
        raise EnvironmentFailed(
            f"the base image cannot be made: mmdebstrap ended with {done.returncode}: {done.stderr.strip()[-500:]}",
            remedy="check that the machine reaches its package server, or name an image: --image",
            code="image-missing",
        )
