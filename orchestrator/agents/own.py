"""The user's own agents: manifests in ``<configuration>/agents``, beside the built-in profiles."""

from collections.abc import Mapping
from pathlib import Path

from orchestrator.config.node import SIZE_LIMIT_BYTES
from orchestrator.config.values import nearest
from orchestrator.errors import ConfigError, UsageError
from orchestrator.model.agent import Profile
from orchestrator.model.paths import paths_from

ENDING = ".yaml"


def folder(environ: Mapping[str, str]) -> Path:
    return paths_from(environ).config / "agents"


def names(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Of all manifests, also those that cannot be read."""
    try:
        return tuple(sorted(path.name.removesuffix(ENDING) for path in folder(environ).iterdir() if path.name.endswith(ENDING)))
    except OSError:
        return ()


def find(name: str, environ: Mapping[str, str], built_in: Mapping[str, Profile]) -> Profile:
    """A built-in agent, or one of the user's.

    Raises:
        UsageError: there is no such agent.
        ConfigError: its manifest is wrong, or has the name of a built-in agent.
    """
    own = names(environ)
    if name in own:
        path = folder(environ) / f"{name}{ENDING}"
        if name in built_in:
            raise ConfigError(f"{path}: {name!r} is a built-in agent", remedy="give the file another name")
        return read(path)
    if name not in built_in:
        known = sorted({*built_in, *own})
        raise UsageError(f"unknown agent {name[:80]!r}{nearest(name, known)}", remedy=f"choose from {', '.join(known)}")
    return built_in[name]


def read(path: Path) -> Profile:
    """The manifest at ``path``; the agent has the file's name.

    Raises:
        ConfigError: it cannot be read, or is wrong.
    """
    from orchestrator.agents.manifest import parse_manifest

    try:
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT_BYTES + 1)
    except OSError as problem:
        raise ConfigError(f"{path} cannot be read: {problem.strerror}") from problem
    return parse_manifest(data, str(path), path.name.removesuffix(ENDING))
