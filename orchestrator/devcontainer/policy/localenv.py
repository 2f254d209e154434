"""``${localEnv:NAME}``: who asks for which variable of this machine, and which may be seen. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from orchestrator.config.node import shown
from orchestrator.devcontainer.jsonc import Json
from orchestrator.devcontainer.policy.grants import Grants
from orchestrator.devcontainer.policy.verdict import grant_line
from orchestrator.devcontainer.variables import substitute

_NAMES = ("localEnv", "env")


def asked(*raw: Json) -> tuple[str, ...]:
    """Names of variables of this machine in texts at any depth, before variables are replaced; each once, in order."""
    found: dict[str, None] = {}

    def note(name: str, words: Sequence[str], written: str) -> str:
        if name in _NAMES and words and words[0]:
            found[words[0]] = None
        return ""

    for value in raw:
        substitute(value, note)
    return tuple(found)


def visible(environ: Mapping[str, str], grants: Grants) -> Mapping[str, str]:
    """What of this machine's environment a configuration may see. Compose sees no more: it replaces variables too."""
    return MappingProxyType({name: value for name, value in environ.items() if grants.allows(f"localEnv:{name}")})


def notes(names: Iterable[str], environ: Mapping[str, str], grants: Grants) -> tuple[str, ...]:
    """For people: variables that are asked for (see ``asked``), exist, and were not granted."""
    return tuple(
        f"${{localEnv:{shown(name)}}} was taken as not set: it is this machine's ({grant_line((f'localEnv:{name}',))} gives it)"
        for name in dict.fromkeys(names)
        if name in environ and not grants.allows(f"localEnv:{name}")
    )
