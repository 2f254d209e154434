"""What readers of a client's configuration are given, and what they answer. Pure.

A reader knows one client: which files it looks at, and which addresses they name. It never sees the repository's files: a
repository may ask for hosts, it does not grant them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Side:
    """The user's side: variables, home folder, where relative paths begin, and where programs were found (links resolved).

    ``root``: the machine's files; ``/`` but in tests.
    """

    environ: Mapping[str, str]
    home: Path
    cwd: Path
    programs: Mapping[str, Path] = field(default_factory=dict)
    root: Path = Path("/")

    def folder(self, variable: str, *default: str) -> Path:
        """The folder that a variable names, else one below the home folder."""
        return self.path(self.environ[variable]) if self.environ.get(variable) else self.home.joinpath(*default)

    def path(self, text: str) -> Path:
        """A path as a client takes it: ``~`` is the home folder."""
        if text == "~" or text.startswith("~/"):
            return self.home / text[2:]
        return self.cwd / text

    def shown(self, path: Path) -> str:
        return f"~/{path.relative_to(self.home)}" if path.is_relative_to(self.home) else str(path)


@dataclass(frozen=True, slots=True)
class Setting:
    """An address as it was written, perhaps with a password in it, and where that was."""

    url: str
    where: str


@dataclass(frozen=True, slots=True)
class Found:
    """``settings``: addresses that the client uses. ``notes``: what the user should know; no address, no value is in them."""

    settings: tuple[Setting, ...]
    notes: tuple[str, ...] = ()


def plain_name(text: str) -> str:
    """A name from a file, for messages; what could be an address or hold a password is left out of them."""
    return text if re.fullmatch(r"[A-Za-z0-9._-]{1,60}", text) else "without a plain name"


def proxy_note(where: str) -> str:
    """For a setting that sends a client through a proxy of its own."""
    return f"{where} names a proxy; programs in the environment go through aienv's, which dials the hosts itself"
