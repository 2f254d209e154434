"""``docker build``, with the builder that the Dockerfile needs, and what its failures mean."""

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

from orchestrator.devcontainer.engine import Docker
from orchestrator.devcontainer.images.buildkit import Need
from orchestrator.devcontainer.images.runner import Said, run
from orchestrator.errors import AienvError, ConfigError, EnvironmentFailed

STALE_S = 86400.0
SHOWN_LINES = 20

_FRONTEND = re.compile(r"^ > resolve image config for ")  # which step failed, in BuildKit's words of several versions
_BROKEN_BUILDX = "buildx component is missing"


class BuildFailed(EnvironmentFailed):
    """``description``: what the reference calls it."""

    code = "build"
    description = "An error occurred building the image."


def builder(need: Need | None, wish: Literal["auto", "never"], docker: Docker) -> Mapping[str, str]:
    """What to add to the environment of ``docker build``. Without a need docker chooses by itself.

    Raises:
        ConfigError: there is no BuildKit, and nothing else will do.
    """
    if wish == "never" or need is None:
        if need is not None and not need.soft:
            raise _lacking(need, "--buildkit never was given", "leave --buildkit never out")
        return {"DOCKER_BUILDKIT": "0"} if wish == "never" else {}
    if has_buildkit(docker):
        return {"DOCKER_BUILDKIT": "1"}
    if need.soft:
        return {"DOCKER_BUILDKIT": "0"}
    raise _lacking(need, "this docker command has no BuildKit", "install its plugin docker-buildx, or write the Dockerfile without it")


def has_buildkit(docker: Docker) -> bool:
    """The plugin is there, or the command is of a time when it had BuildKit inside."""
    try:
        docker.ask(docker.command, "buildx", "version")
        return True
    except EnvironmentFailed:
        pass
    match = re.search(r"version ([0-9]+)\.", docker.ask(docker.command, "--version"))
    return match is not None and 18 < int(match[1]) < 23


def build(
    docker: Docker,
    words: Sequence[str],
    environ: Mapping[str, str],
    log: Callable[[str], None],
    deadline_s: float,
    stdin: BinaryIO | None = None,
) -> Said:
    """``words``: after ``docker build``."""
    command = (docker.command, "build", "--force-rm", *words)
    docker.note(f"Run: {' '.join(one if len(one) < 200 else one[:200] + '...' for one in command)}")
    return run(command, {**docker.environ, **environ}, docker.folder, log, deadline_s, stdin)


def lacks_frontend(said: Said, syntax: Need | None) -> bool:
    """Whether a build failed because the image that a ``# syntax=`` line names cannot be had."""
    return said.code != 0 and syntax is not None and any(_FRONTEND.match(line) for line in said.lines[-SHOWN_LINES:])


def failure(said: Said, what: str, syntax: Need | None) -> AienvError:
    """``what``: was to be built; ``syntax``: its line of that kind."""
    shown = "\n".join(line for line in said.lines[-SHOWN_LINES:])
    remedy = None
    if syntax is not None and lacks_frontend(said, syntax):
        remedy = f"line {syntax.line} of it, {syntax.what}, makes docker fetch that image first, which failed; take the line out"
    elif _BROKEN_BUILDX in shown:
        remedy = "install docker's plugin docker-buildx, or unset DOCKER_BUILDKIT"
    return BuildFailed(f"{what} cannot be built, docker build ended with {said.code}:\n{shown}", remedy=remedy)


@contextlib.contextmanager
def id_file(scratch: Path) -> Iterator[Path]:
    """The path of a file that is not there yet. What a killed process left of such is removed after a day."""
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(scratch)
    path = scratch / f"id-{os.urandom(8).hex()}"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def remember(cache: Path, name: str, image_id: str) -> None:
    """That an image was built by us and given this name: a name alone can be given by anybody who reaches the engine."""
    path = _record(cache, name, image_id)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)


def was_built(cache: Path, name: str, image_id: str) -> bool:
    """Whether ``remember`` was told so; of several engines each has its own images."""
    return _record(cache, name, image_id).exists()


def _record(cache: Path, name: str, image_id: str) -> Path:
    return cache / "built" / hashlib.sha256(f"{name} {image_id}".encode()).hexdigest()


def _sweep(scratch: Path) -> None:
    old = time.time() - STALE_S
    for path in scratch.glob("id-*"):
        with contextlib.suppress(OSError):
            if os.lstat(path).st_mtime < old:
                path.unlink()


def _lacking(need: Need, because: str, remedy: str) -> ConfigError:
    return ConfigError(f"line {need.line} of the Dockerfile, {need.what!r}, needs BuildKit, but {because}", remedy=remedy, code="buildkit")
