"""``aienv shim``: small scripts on the user's PATH, ``claude-box`` for ``aienv box claude``. One that is not ours is never overwritten."""

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from orchestrator.cli.common import json_option, print_json
from orchestrator.errors import ConfigError, EnvironmentFailed, NotFound, UsageError
from orchestrator.report.text import columns

SUFFIX = "-box"
MARK = "# A shim of aienv"
SIZE_LIMIT_BYTES = 4096
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Shim:
    """``ours``: a script that we wrote."""

    name: str
    agent: str
    path: str
    ours: bool


def shim_text(agent: str, program: Sequence[str]) -> str:
    """The script: it hands everything over."""
    return (
        "#!/bin/sh\n"
        f"{MARK}: {agent} on this project, in a place of its own; what it does is in your files afterwards. aienv shim rm removes it.\n"
        f'exec {shlex.join((*program, "box", agent, "--"))} "$@"\n'
    )


def agent_of(name: str) -> str:
    """``claude`` of ``claude`` and of ``claude-box``.

    Raises:
        UsageError: it is no name of an agent.
    """
    agent = name.removesuffix(SUFFIX)
    if not _NAME.fullmatch(agent):
        raise UsageError(f"{name[:80]!r} is not the name of an agent", remedy="aienv agents ls lists them")
    return agent


def program(argv0: str, python: Sequence[str]) -> tuple[str, ...]:
    """How a script calls us: by the path of the program that was called, else by Python. A PATH may differ where the script is used."""
    path = os.path.abspath(argv0)
    if os.path.basename(path) == "aienv" and os.access(path, os.X_OK):
        return (path,)
    return tuple(python)


def path_hint(folder: Path, environ: Mapping[str, str]) -> str | None:
    """What to do where the shell would not find them."""
    places = {os.path.realpath(place) for place in environ.get("PATH", "").split(os.pathsep) if place}
    if os.path.realpath(folder) in places:
        return None
    return f'{folder} is not on your PATH: export PATH={shlex.quote(str(folder))}:"$PATH"'


def is_ours(path: Path) -> bool:
    """A plain file that begins as we write it."""
    if path.is_symlink() or not path.is_file():
        return False
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(SIZE_LIMIT_BYTES).startswith(f"#!/bin/sh\n{MARK}: ".encode())
    return False


def look(folder: Path, agent: str) -> Shim:
    path = folder / f"{agent}{SUFFIX}"
    return Shim(path.name, agent, str(path), is_ours(path))


def listed(folder: Path) -> list[Shim]:
    """Ours in ``folder``, by name."""
    if not folder.is_dir():
        return []
    names = sorted(path.name.removesuffix(SUFFIX) for path in folder.glob(f"*{SUFFIX}"))
    return [shim for name in names if _NAME.fullmatch(name) and (shim := look(folder, name)).ours]


def install(folder: Path, agents: Sequence[str], text: Mapping[str, str]) -> list[Shim]:
    """Write them, all or none.

    Raises:
        ConfigError: something else has that name. EnvironmentFailed: the folder cannot be written.
    """
    for agent in agents:
        shim = look(folder, agent)
        if os.path.lexists(shim.path) and not shim.ours:
            raise ConfigError(f"{shim.path} is there already and not ours", remedy="move it away, or choose another folder with --dir")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for agent in agents:
            _write(Path(look(folder, agent).path), text[agent])
    except OSError as problem:
        raise EnvironmentFailed(f"{folder} cannot be written: {problem.strerror}", remedy="choose another folder with --dir") from problem
    return [look(folder, agent) for agent in agents]


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o755)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.replace(path)


def _folder(given: str | None) -> Path:
    return Path(given).absolute() if given else Path(os.environ.get("HOME") or "/nonexistent") / ".local" / "bin"


dir_option = click.option("--dir", "folder", metavar="PATH", help="Where the scripts are; default: ~/.local/bin.")


@click.group(epilog="\b\nExamples:\n  aienv shim install claude codex\n  aienv shim ls")
def shim_command() -> None:
    """Install claude-box, codex-box...: short names of aienv box."""


@shim_command.command(name="install")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@dir_option
@json_option
def install_command(names: tuple[str, ...], folder: str | None, as_json: bool) -> None:
    """Write scripts for the agents NAME..., or for all that aienv knows."""
    from orchestrator.broker.client import self_command
    from orchestrator.config.names import AGENTS

    place = _folder(folder)
    agents = list(dict.fromkeys(map(agent_of, names))) or [agent for agent in AGENTS if agent != "command"]
    called = program(sys.argv[0], self_command())
    done = install(place, agents, {agent: shim_text(agent, called) for agent in agents})
    hint = path_hint(place, os.environ)
    if as_json:
        print_json({"installed": [asdict(shim) for shim in done], "hint": hint})
        return
    for shim in done:
        click.echo(shim.path)
    if hint:
        click.echo(f"aienv: {hint}", err=True)


@shim_command.command(name="ls")
@dir_option
@json_option
def ls_command(folder: str | None, as_json: bool) -> None:
    """List our scripts."""
    found = listed(_folder(folder))
    if as_json:
        print_json([asdict(shim) for shim in found])
    elif found:
        click.echo("\n".join(columns([("NAME", "AGENT", "PATH"), *((shim.name, shim.agent, shim.path) for shim in found)])))
    else:
        click.echo(f"aienv: there is none in {_folder(folder)}; aienv shim install", err=True)


@shim_command.command(name="rm")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@dir_option
@json_option
def rm_command(names: tuple[str, ...], folder: str | None, as_json: bool) -> None:
    """Remove the scripts of the agents NAME..., or all of ours."""
    place = _folder(folder)
    found = [look(place, agent_of(name)) for name in names] or listed(place)
    for shim in found:
        if not shim.ours:
            raise NotFound(f"{shim.path} is no script of ours", remedy="aienv shim ls lists them")
    for shim in found:
        Path(shim.path).unlink(missing_ok=True)
    if as_json:
        print_json({"removed": [shim.path for shim in found]})
    else:
        click.echo("\n".join(f"{shim.path} removed" for shim in found) or "nothing to remove")
