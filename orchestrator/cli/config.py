"""``aienv config``, ``aienv init``, ``aienv completion``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.common import here, json_option, paths, print_json
from orchestrator.errors import UsageError
from orchestrator.report.text import printable

if TYPE_CHECKING:
    from orchestrator.config.layers import Settings

_SHELLS = ("bash", "zsh", "fish")


@click.command(epilog="\b\nExamples:\n  aienv config\n  aienv config --explain limits.memory")
@click.option("--explain", metavar="KEY", help="All layers' values of KEY, and which one wins.")
@click.option("--repo", metavar="PATH|URL", help="Repository whose settings count; default: the one around the current folder.")
@json_option
def config_command(explain: str | None, repo: str | None, as_json: bool) -> None:
    """Show the configuration and where each value comes from."""
    from orchestrator.config.layers import explain as explain_key

    settings = settings_of(repo)
    if explain is None:
        rows = [(key, setting.text, setting.layer, setting.where) for key, setting in settings.values.items()]
        if as_json:
            print_json({key: {"value": value, "layer": layer, "where": where} for key, value, layer, where in rows})
        else:
            for key, value, layer, where in rows:
                click.echo(printable(f"{key:<26} {value:<30} {layer}" + (f" ({where})" if where and where != layer else "")))
        return
    told = explain_key(settings, explain)
    lines = [{"layer": layer, "where": where, "value": value, "status": status} for layer, where, value, status in told.lines]
    if as_json:
        print_json({"key": told.key, "value": told.value, "winner": told.winner, "where": told.where, "doc": told.doc, "layers": lines})
        return
    click.echo(printable(f"{told.key} = {told.value}   (from: {told.winner}{', ' + told.where if told.where else ''})"))
    click.echo(printable(f"  {told.doc}"))
    click.echo(printable(f"  a repository: {told.repository}"))
    for line in lines:
        click.echo(printable(f"  {line['layer']:<16} {line['value']:<30} {line['status']}  {line['where']}"))


def settings_of(repo: str | None) -> Settings:
    """The user's configuration, merged with that of the repository at PATH or URL, or around the current folder."""
    from orchestrator.config.load import load_user_side, merge_settings
    from orchestrator.errors import NotFound
    from orchestrator.repos import mirror as mirrors
    from orchestrator.repos.resolve import resolve
    from orchestrator.repos.source import parse_source

    side = load_user_side(paths(), os.environ, {"repo": repo} if repo else {}, None, (), here())
    try:
        found = resolve(paths().mirrors, parse_source(side.repo or ".", here()), side.ref)
    except NotFound:
        if repo is not None:
            raise
        return merge_settings(side, lambda path: None)  # outside of a repository the user's side is all there is
    return merge_settings(side, lambda path: mirrors.read_file(found.mirror, found.commit, path) if found.commit else None)


@click.command(epilog="\b\nExamples:\n  aienv init fix-parser && aienv run fix-parser\n  aienv init --template python")
@click.argument("name", default="first-task")
@click.option("--agent", default="command", show_default=True, help="Agent that the task is for.")
@click.option("--template", metavar="ID", help="Write this template of a dev container, too; aienv templates ls lists ours.")
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@json_option
def init_command(name: str, agent: str, template: str | None, force: bool, as_json: bool) -> None:
    """Write a first task file: .aienv/tasks/NAME.yaml. Commit it: tasks are read from the base commit."""
    from orchestrator.config.load import starter_task

    text = starter_task(name, agent)
    root, path = _top(here()), Path(".aienv", "tasks", f"{name}.yaml")
    if link := next((place for place in (path.parent.parent, path.parent, path) if (root / place).is_symlink()), None):
        raise UsageError(f"{link} is a link, perhaps out of the repository", remedy="make it a folder of its own")
    if (root / path).exists() and not force:
        raise UsageError(f"{path} exists already", remedy="choose another name, or --force")
    brought = _apply_template(template, root, force) if template is not None else []
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)
    if as_json:
        print_json({"path": str(path), **({"files": brought} if template is not None else {})})
        return
    for file in brought:
        click.echo(f"wrote {printable(file)}")
    click.echo(f"wrote {path}; commit it, then: aienv run {name}")


def _apply_template(template: str, root: Path, force: bool) -> list[str]:
    """With its defaults, into the top of the work tree; the paths of its files."""
    from orchestrator.cli.templates import fetch_template, warn
    from orchestrator.devcontainer.templates.apply import Request, prepare, put

    request = Request(template, root, force=force)
    files = prepare(request, fetch_template(template), warn)
    put(request, files)
    return list(files)


def _top(folder: Path) -> Path:
    """The top of the work tree around ``folder``, where tasks are looked for; ``folder`` itself outside of any."""
    return next((place for place in (folder, *folder.parents) if (place / ".git").exists()), folder)


@click.command(epilog='\b\nExamples:\n  eval "$(aienv completion bash)"\n  aienv completion fish > ~/.config/fish/completions/aienv.fish')
@click.argument("shell", type=click.Choice(_SHELLS))
def completion_command(shell: str) -> None:
    """Print a completion script for SHELL."""
    from click.shell_completion import get_completion_class

    from orchestrator.cli.main import command_line

    kind = get_completion_class(shell)
    if kind is None:
        raise UsageError(f"no completion for {shell!r}", remedy=f"choose one of {', '.join(_SHELLS)}")
    click.echo(kind(command_line, {}, "aienv", "_AIENV_COMPLETE").source())
