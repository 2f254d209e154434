"""``aienv prebuild``: images with features and the first hooks behind them, made before anybody waits for them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from orchestrator.cli.common import environ, here, json_option, paths, print_json
from orchestrator.cli.devcontainer import Given, Log, reference_command

if TYPE_CHECKING:
    from orchestrator.devcontainer.jsonc import Object
    from orchestrator.devcontainer.life.prebuilt import Prebuilds

EXAMPLES = """
\b
Examples:
  aienv prebuild
  aienv prebuild ls
  aienv prebuild gc --older-than 30d
"""


class _DefaultGroup(click.Group):
    """Without the name of a command it makes a prebuild."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args if args[:1] in (["--help"], ["-h"]) else self._named(args))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        return super().resolve_command(ctx, self._named(args))

    def _named(self, args: list[str]) -> list[str]:
        return args if args and args[0] in self.commands else ["make", *args]


@click.group(cls=_DefaultGroup, epilog=EXAMPLES)
def prebuild_command() -> None:
    """Make, list and remove prebuilds: images after features, onCreateCommand and updateContentCommand, which aienv up takes."""


@reference_command(prebuild_command, "make", "PREBUILD", example="aienv prebuild --workspace-folder .", own_codes=True)
def make_command(given: Given) -> Object | None:
    """Make the prebuild of a folder."""
    from orchestrator.devcontainer.life.made import prebuild

    return prebuild(given.whole_call())


@prebuild_command.command("ls")
@json_option
def ls_command(as_json: bool) -> None:
    """List the prebuilds: size, age, how often one was of use."""
    from orchestrator.report.text import size

    found = _prebuilds().all()
    if as_json:
        print_json([one.as_json() for one in found])
        return
    for one in found:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.used)) if one.used else "never"
        click.echo(f"{one.name[:47]}  {size(one.size):>10}  made {one.made[:16].replace('T', ' ')}  used {one.hits} times, last {used}")


@prebuild_command.command("gc")
@click.option("--older-than", default="30d", show_default=True, help="Those that nobody used for so long.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@json_option
def gc_command(older_than: str, everything: bool, as_json: bool) -> None:
    """Remove prebuilds that nobody used."""
    from orchestrator.recovery.gc import parse_age

    removed, kept = _prebuilds().remove(0.0 if everything else parse_age(older_than))
    if as_json:
        print_json({"removed": removed, "in_use": kept})
        return
    for name in removed:
        click.echo(f"removed {name}")
    for name in kept:
        click.echo(f"in use  {name}")


def _prebuilds() -> Prebuilds:
    from orchestrator.devcontainer.composefiles import clients_environ
    from orchestrator.devcontainer.engine import Docker
    from orchestrator.devcontainer.life.prebuilt import Prebuilds

    docker = Docker(clients_environ(environ(), {}), str(here()), Log("info", "text").note)
    return Prebuilds(docker, paths().state / "devcontainers" / "prebuilds")
