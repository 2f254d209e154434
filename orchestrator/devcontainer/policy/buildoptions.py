"""``build.options``: words for ``docker build``, judged and written anew. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.devcontainer.jsonc import Json
from orchestrator.devcontainer.policy.grants import Grants
from orchestrator.devcontainer.policy.verdict import Finding


@dataclass(frozen=True, slots=True)
class BuildVerdict:
    """``options``: to be given to ``docker build`` in place of the file's."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    options: tuple[str, ...]


def judge(options: Sequence[Json], grants: Grants, origin: str = "devcontainer.json") -> BuildVerdict:
    """Never raises: what cannot be read is a finding."""
    raise NotImplementedError
