"""``${localEnv:NAME}``: who asks for which variable of this machine, and which may be seen. Pure."""

from collections.abc import Iterable, Mapping

from orchestrator.devcontainer.jsonc import Json
from orchestrator.devcontainer.policy.grants import Grants


def asked(*raw: Json) -> tuple[str, ...]:
    """Names of variables of this machine in texts at any depth, before variables are replaced."""
    raise NotImplementedError


def visible(environ: Mapping[str, str], grants: Grants) -> Mapping[str, str]:
    """What of this machine's environment a configuration may see."""
    raise NotImplementedError


def notes(names: Iterable[str], environ: Mapping[str, str], grants: Grants) -> tuple[str, ...]:
    """For people: variables that are asked for, exist, and were not granted. ``names``: of ``asked``."""
    raise NotImplementedError
