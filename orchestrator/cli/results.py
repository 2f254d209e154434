"""``aienv diff`` and ``aienv apply``."""

import sys
from dataclasses import asdict

import click

from orchestrator.cli.common import finish_interrupted, here, json_option, paths, print_json
from orchestrator.errors import NotFound
from orchestrator.report.text import plural, printable


@click.command(epilog="\b\nExamples:\n  aienv diff last\n  aienv diff ng8m | git apply --check")
@click.argument("run", default="last")
@click.option("--stat", is_flag=True, help="Only the names of changed files.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True, help="Colours.")
@json_option
def diff_command(run: str, stat: bool, color: str, as_json: bool) -> None:
    """Print the result of RUN (an id, the beginning of one, or "last") as a patch."""
    from orchestrator.harvest.apply import diff
    from orchestrator.run.folder import find
    from orchestrator.run.listing import read_json

    finish_interrupted(quiet=as_json)
    folder = find(paths(), run)
    report = read_json(folder.report)
    if report is None:
        raise NotFound(f"run {folder.id} has no result yet", remedy=f"aienv logs -f {folder.id}")
    files = report["result"]["changed_files"]
    if as_json:
        patch = folder.run / "result.patch"
        text = patch.read_bytes().decode("utf-8", "backslashreplace") if patch.exists() else ""
        print_json({"run": folder.id, "changed_files": files, "patch": text})
    elif stat:
        for file in files:
            click.echo(printable(f"{file['status']}  {file['path']}"))
    else:
        colour = color == "always" or (color == "auto" and sys.stdout.isatty())
        diff(folder.run, sys.stdout.buffer, colour=colour)
        sys.stdout.buffer.flush()


@click.command(epilog="\b\nExample:\n  aienv apply last && git diff --cached")
@click.argument("run", default="last")
@click.option("--repo", metavar="PATH", help="Work tree to apply to; default: the one around the current folder.")
@json_option
def apply_command(run: str, repo: str | None, as_json: bool) -> None:
    """Put the result of RUN, staged, into your work tree.

    What does not fit changes nothing: the result stays as a branch.
    """
    from orchestrator.harvest.apply import apply
    from orchestrator.run.folder import find
    from orchestrator.run.listing import read_json

    finish_interrupted(quiet=as_json)
    folder = find(paths(), run)
    report = read_json(folder.report)
    if report is None:
        raise NotFound(f"run {folder.id} has no result yet", remedy=f"aienv logs -f {folder.id}")
    done = apply(folder.run, here() / repo if repo else here(), branch=report["result"]["branch"])
    if as_json:
        print_json({"run": folder.id, **asdict(done)})
    else:
        click.echo(f"{plural(len(report['result']['changed_files']), 'changed file')} staged; git diff --cached shows them")
