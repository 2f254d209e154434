"""What a judgement says: what is refused and by whom it was asked for, what was taken away, and how the refusal reads. Pure."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from orchestrator.config.node import shown
from orchestrator.devcontainer.policy.grants import clean_path
from orchestrator.errors import PolicyRefused


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is refused. ``what``: as it was asked for; ``grant``: the word that would allow it, None if nothing does."""

    what: str
    origin: str
    why: str
    grant: str | None = None

    def __str__(self) -> str:
        way = f" (allowed by: {grant_line((self.grant,))})" if self.grant else ""
        return f"{shown(self.origin, 120)} asks for {shown(self.what, 200)}: {self.why}{way}"


@dataclass(frozen=True, slots=True)
class WorkspaceGround:
    """Folders of this machine that may be mounted: the workspace, its work tree, the repository of a linked work tree.

    ``real``: where the paths of ``host_paths`` lead once links are followed. One that is not in it stands for itself, so who leaves it
    empty must know that nothing in ``folders`` is a link.
    """

    folders: tuple[str, ...]
    real: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def holds(self, path: str) -> bool:
        """Whether ``path``, clean and with its links followed, is one of the folders or lies below one."""
        places = {clean for one in self.folders for clean in (clean_path(one), clean_path(self.real.get(one, one))) if clean}
        return any(path == place or path.startswith(place.rstrip("/") + "/") for place in places)

    def followed(self, path: str) -> str:
        """Where a clean path leads. A folder of the ground is not followed: its links are the user's own."""
        return path if path in self.folders else clean_path(self.real.get(path, path)) or path


def grant_line(words: Iterable[str]) -> str:
    """``--grant a --grant b``, to be typed."""
    return " ".join(f"--grant {shlex.quote(word) if word.isprintable() else ascii(word)}" for word in dict.fromkeys(words))


def refuse(findings: Sequence[Finding]) -> None:
    """Stop here when there are findings.

    Raises:
        PolicyRefused: names each of them, who asked for it, and the whole line that would allow all that can be allowed.
    """
    if not findings:
        return
    found = tuple(dict.fromkeys(findings))
    words = [one.grant for one in found if one.grant is not None]
    line = grant_line(words)
    for_good = any(one.grant is None for one in found)
    remedy = (f"{line}, and take out what nothing allows" if line else "take it out of the configuration") if for_good else line
    if len(found) == 1:
        raise PolicyRefused(str(found[0]), remedy=remedy)
    raise PolicyRefused(f"{len(found)} things are not granted:" + "".join(f"\n  {one}" for one in found), remedy=remedy)
