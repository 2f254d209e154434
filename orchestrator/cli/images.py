"""``aienv images``: what we build."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from orchestrator.cli.common import json_option, paths, print_json
from orchestrator.report.progress import Progress
from orchestrator.report.text import printable, size

if TYPE_CHECKING:
    from orchestrator.backends.docker import Engine

_NAMES = ("base", "toolbox")


@click.group(epilog="\b\nExamples:\n  aienv images build base\n  aienv images ls")
def images_command() -> None:
    """Build, list and remove our images: base (to run in) and toolbox (our programs, for any image)."""


def _engine() -> Engine:
    from orchestrator.backends.docker import DockerBackend

    backend = DockerBackend(paths().cache, os.environ, Progress(False).say)
    backend.check()
    return backend.engine


def _engine_if_any() -> Engine | None:
    """The toolbox needs an engine only on a machine without Debian's packages."""
    from orchestrator.errors import BackendUnavailable

    try:
        return _engine()
    except BackendUnavailable:
        return None


@images_command.command("build")
@click.argument("name", type=click.Choice(_NAMES))
@json_option
def build_command(name: str, as_json: bool) -> None:
    """Make NAME anew."""
    from orchestrator.images.store import build

    made = build(name, _engine() if name == "base" else _engine_if_any(), paths().cache, Progress(as_json).say)
    if as_json:
        print_json({"built": made})
    else:
        click.echo(f"built {printable(made)}")


@images_command.command("ls")
@json_option
def ls_command(as_json: bool) -> None:
    """List our images on this engine."""
    from orchestrator.images.store import list_images

    found = list_images(_engine())
    if as_json:
        print_json([asdict(image) for image in found])
        return
    for image in found:
        click.echo(printable(f"{image.name:<40} {image.kind:<10} {size(image.size_bytes):>10}  {image.id[:19]}"))


@images_command.command("rm")
@click.argument("names", nargs=-1, required=True)
@json_option
def rm_command(names: tuple[str, ...], as_json: bool) -> None:
    """Remove NAMES; only images of ours. In a name '*' stands for any text; then what is in use stays."""
    from orchestrator.images.store import remove, remove_matching

    engine = _engine()
    gone = [image for name in names for image in (remove_matching(name, engine) if "*" in name else (remove(name, engine),))]
    if as_json:
        print_json([asdict(image) for image in gone])
    else:
        click.echo(f"removed {', '.join(printable(image.name) for image in gone)}")
