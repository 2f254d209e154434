"""``aienv templates``: files that describe a dev container, put into a project."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.common import environ, here, json_option, paths, print_json
from orchestrator.errors import UsageError
from orchestrator.report.text import printable

if TYPE_CHECKING:
    from orchestrator.devcontainer.jsonc import Json
    from orchestrator.devcontainer.templates.manifest import Manifest
    from orchestrator.devcontainer.templates.sources import Template

EXAMPLES = """
\b
Examples:
  aienv templates ls
  aienv templates show python
  aienv templates apply python --option baseImage=debian:trixie
  aienv templates apply ./my-template --workspace-folder ../project
"""


@click.group(epilog=EXAMPLES)
def templates_command() -> None:
    """List templates of dev containers, and put one into a project (docs/templates.md).

    A template is one of ours, a folder (./FOLDER), or one of a registry (REGISTRY/NAMESPACE/NAME[:TAG]).
    """


@templates_command.command("ls")
@json_option
def ls_command(as_json: bool) -> None:
    """List our own templates."""
    from orchestrator.devcontainer.templates.sources import own

    found = own()
    if as_json:
        print_json([_document(template.about) for template in found])
        return
    for template in found:
        about = template.about
        click.echo(printable(f"{about.id:<18} {about.version:<8} {about.description}"))
        if about.options:
            click.echo(printable(f"{'':<27} options: {', '.join(about.options)}"))


@templates_command.command("show")
@click.argument("template_id", metavar="ID")
@json_option
def show_command(template_id: str, as_json: bool) -> None:
    """Show a template: its options and their values, and the files that it brings."""
    from orchestrator.devcontainer.templates import content

    template = fetch_template(template_id)
    about, names = template.about, [path for path in template.files if path not in content.ABOUT]
    if as_json:
        print_json({**_document(about), "files": names, "optionalPaths": list(about.optional), "origin": template.origin})
        return
    for line in (f"{about.id} {about.version}   {about.name}", f"  {about.description}", f"  from: {template.origin}"):
        click.echo(printable(line))
    for name, option in about.options.items():
        default = "must be given" if option.default is None else f"default {option.default!r}"
        click.echo(printable(f"  --option {name}=...   {default}; {option.takes()}"))
        if option.description:
            click.echo(printable(f"      {option.description}"))
    for path in names:
        click.echo(printable(f"  brings {path}"))


@templates_command.command("apply")
@click.argument("template_id", metavar="ID")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="A value of one of its options; may be repeated.")
@click.option("--feature", "features", multiple=True, metavar="REF[=JSON]", help="A feature to add, with its options; may be repeated.")
@click.option("--omit", multiple=True, metavar="PATH", help="A file to leave out, or FOLDER/*; may be repeated.")
@click.option("--workspace-folder", metavar="DIR", default=".", help="The project.  [default: here]")
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@json_option
def apply_command(
    template_id: str, options: tuple[str, ...], features: tuple[str, ...], omit: tuple[str, ...],
    workspace_folder: str, force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Write the template ID into a project: all of its files, or none."""
    from orchestrator.devcontainer.templates.apply import Request, prepare, put

    request = Request(
        template_id,
        Path(os.path.normpath(here() / workspace_folder)),
        dict(_pair(one) for one in options),
        dict(_feature(one) for one in features),
        omit,
        force=force,
    )
    written = put(request, prepare(request, fetch_template(template_id), warn))
    if as_json:
        print_json(written)
        return
    files = written["files"]
    for path in files if isinstance(files, list) else ():
        click.echo(f"wrote {printable(str(path).removeprefix('./'))}")


def _document(about: Manifest) -> dict[str, object]:
    return {
        "id": about.id,
        "version": about.version,
        "name": about.name,
        "description": about.description,
        "options": {name: option.as_json() for name, option in about.options.items()},
    }


def fetch_template(name: str) -> Template:
    from orchestrator.devcontainer.templates.sources import fetch

    return fetch(name, here(), environ(), paths().cache / "features", warn)


def warn(text: str) -> None:
    sys.stderr.write(f"aienv: {printable(text)}\n")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"--option is NAME=VALUE, not {text!r}")
    return name, value


def _feature(text: str) -> tuple[str, Json]:
    """``REF`` or ``REF={"OPTION": "VALUE"}``."""
    from orchestrator.devcontainer.features.references import parse as parse_reference
    from orchestrator.devcontainer.jsonc import BadJson, parse

    name, equals, value = text.partition("=")
    parse_reference(name)
    if not equals:
        return name, {}
    try:
        options = parse(value).value
    except BadJson as problem:
        raise UsageError(f"the options of the feature {name!r} are no JSON: {problem}") from None
    if not isinstance(options, dict):
        raise UsageError(f"the options of the feature {name!r} are no JSON object")
    return name, options
