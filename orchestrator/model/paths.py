"""Where files live. One value, computed once from the environment that was handed in.

``AIENV_HOME`` moves everything below one folder; else the XDG base directory specification holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ORGANISATION_POLICY = Path("/etc/aienv/policy.yaml")


@dataclass(frozen=True, slots=True)
class Paths:
    config: Path  # config.yaml lies here
    state: Path  # runs/, active/, work/, tmp/
    cache: Path  # mirrors/, toolbox/, images/

    @property
    def user_config(self) -> Path:
        return self.config / "config.yaml"

    @property
    def runs(self) -> Path:
        """Run folders; they stay."""
        return self.state / "runs"

    @property
    def active(self) -> Path:
        """One empty file per run that is not finished: what the next command must look at."""
        return self.state / "active"

    @property
    def work(self) -> Path:
        """What a run throws away: workspace, control sockets, outbox."""
        return self.state / "work"

    @property
    def tmp(self) -> Path:
        """Folders that last as long as one command, see ``repos.scratch``."""
        return self.state / "tmp"

    @property
    def mirrors(self) -> Path:
        return self.cache / "mirrors"


def paths_from(environ: Mapping[str, str]) -> Paths:
    """The folders that ``environ`` asks for."""
    home = Path(environ.get("HOME") or "/")
    if moved := environ.get("AIENV_HOME"):
        base = Path(moved).absolute()
        return Paths(config=base, state=base, cache=base / "cache")
    return Paths(
        config=_xdg(environ, "XDG_CONFIG_HOME", home / ".config") / "aienv",
        state=_xdg(environ, "XDG_STATE_HOME", home / ".local" / "state") / "aienv",
        cache=_xdg(environ, "XDG_CACHE_HOME", home / ".cache") / "aienv",
    )


def _xdg(environ: Mapping[str, str], name: str, default: Path) -> Path:
    value = environ.get(name, "")
    # The specification: a relative path is invalid and must be ignored.
    return Path(value) if value.startswith("/") else default
