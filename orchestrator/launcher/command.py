"""How the launcher is started: its configuration as one JSON word. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

LAUNCHER_SOCKET = "launcher.sock"
TOOLBOX = "/opt/aienv"
CONTROL_INSIDE = "/run/aienv/control"
HOME_INSIDE = "/run/aienv/home"
EMPTY_FILE = "empty"
NEUTRAL_FOLDER = "neutral"  # files of ours that stand in the place of files of the repository; written until a command starts


@dataclass(frozen=True, slots=True)
class LauncherConfig:
    """``sources``: name -> path as the launcher sees it; ``visible``: (source name, path inside), read-only.

    ``become``: (uid, gid) for a launcher that starts as root. Exactly one of ``connect`` (a socket path) and ``fd`` is set.
    """

    container: bool
    connect: str | None
    fd: int | None
    bwrap: str
    bwrap_env: Mapping[str, str]
    python: str
    git: str
    sources: Mapping[str, str]
    visible: tuple[tuple[str, str], ...]
    become: tuple[int, int] | None

    def as_word(self) -> str:
        return json.dumps(
            {
                "container": self.container,
                "connect": self.connect,
                "fd": self.fd,
                "bwrap": self.bwrap,
                "bwrap_env": dict(self.bwrap_env),
                "tools": {"python": self.python, "git": self.git},
                "sources": dict(self.sources),
                "visible": [list(pair) for pair in self.visible],
                "become": list(self.become) if self.become else None,
            },
            sort_keys=True,
        )


def container_config(workspace: str, object_names: tuple[str, ...], home: bool = False) -> LauncherConfig:
    """For a container with the toolbox at /opt/aienv and the folders of ``backends.protocol.Folders`` mounted."""
    sources = {
        "workspace": workspace,
        "outbox": "/run/aienv/outbox",
        "empty": f"{CONTROL_INSIDE}/{EMPTY_FILE}",
        "neutral": f"{CONTROL_INSIDE}/{NEUTRAL_FOLDER}",
        "harvest": f"{TOOLBOX}/lib/aienv/harvest",
        **{f"objects/{name}": f"/run/aienv/objects/{name}" for name in object_names},
        **({"home": HOME_INSIDE} if home else {}),
    }
    return LauncherConfig(
        container=True,
        connect=f"{CONTROL_INSIDE}/{LAUNCHER_SOCKET}",
        fd=None,
        bwrap=f"{TOOLBOX}/bin/bwrap",
        bwrap_env={},
        python=f"{TOOLBOX}/bin/python3",
        git=f"{TOOLBOX}/bin/git",
        sources=sources,
        visible=(),
        become=None,
    )


def container_command(config: LauncherConfig) -> tuple[str, ...]:
    """The container's command."""
    return (f"{TOOLBOX}/bin/python3", "-I", "-S", f"{TOOLBOX}/lib/aienv/launcher.py", config.as_word())
