"""What a run takes from a repository's devcontainer.json: resolved when the run is planned, fixed from then on."""

import re
from dataclasses import dataclass
from typing import Literal

# Of a user inside: nothing else is written into its /etc/passwd, or mounted over.
INSIDE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", re.ASCII)
INSIDE_HOME = re.compile(r"/home/[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", re.ASCII)
INSIDE_SHELL = re.compile(r"(/[A-Za-z0-9_.+-]{1,64}){1,8}", re.ASCII)


@dataclass(frozen=True, slots=True)
class HookCommand:
    """``name``: its key in an object of commands that run side by side, empty for a lone one. ``argv``: what is executed."""

    name: str
    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HookPlan:
    """The commands of one hook that come from one place. ``origin``: who asks for it: a feature, an image's label, the file."""

    hook: str
    origin: str
    commands: tuple[HookCommand, ...]

    @property
    def words(self) -> str:
        return f"{self.hook} of {self.origin}"


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    """``digest``: of the manifest or the archive; of a local one, of its files."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class UserPlan:
    """Whose name the agent has inside; its ids are the plan's. ``home`` lies below /home; ``skeleton``: the image has a folder there, and
    what is in it is copied."""

    name: str
    home: str
    shell: str
    skeleton: bool = False


@dataclass(frozen=True, slots=True)
class DevcontainerPlan:
    """``path``: the file in the base commit; ``digest``: of the merged configuration. ``env``: over the image's variables; ``unset``: of
    these, names that are taken away. ``folder``: where hooks run. ``granted``: the words that were considered. ``network``: what RUN
    instructions of a build had. ``notes``: what the file asks for and a run does not do, for people."""

    path: str
    digest: str
    kind: Literal["image", "dockerfile"]
    features: tuple[FeaturePlan, ...]
    user: UserPlan
    env: tuple[tuple[str, str], ...]
    unset: tuple[str, ...]
    folder: str
    hooks: tuple[HookPlan, ...]
    granted: tuple[str, ...]
    network: Literal["none", "default"]
    notes: tuple[str, ...]
