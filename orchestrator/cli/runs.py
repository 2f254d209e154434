"""Commands about runs: ps, show, logs, stop, rm, gc."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.common import finish_interrupted, json_option, paths, print_json
from orchestrator.errors import AienvError, EnvironmentFailed
from orchestrator.report.text import columns, duration, plural, printable, size

if TYPE_CHECKING:
    from orchestrator.run.folder import RunFolder

FOLLOW_POLL_S = 0.2
STOP_DEADLINE_S = 120.0


@click.command(epilog="\b\nExamples:\n  aienv ps          what still needs something\n  aienv ps --all    every run that has a folder")
@click.option("--all", "-a", "everything", is_flag=True, help="Finished runs too.")
@json_option
def ps_command(everything: bool, as_json: bool) -> None:
    """List the runs."""
    from orchestrator.run.listing import rows

    finish_interrupted(quiet=as_json)
    found = [row for row in rows(paths()) if everything or row.state != "finished"]
    if as_json:
        print_json([asdict(row) for row in found])
        return
    now = time.time()
    table: list[tuple[str, ...]] = [("ID", "STATE", "STATUS", "TASK", "BACKEND", "AGE", "SIZE", "RESULT")]
    for row in found:
        age = duration(max(0.0, now - row.created))
        table.append(
            (row.id, row.state, row.status or "-", row.task, row.backend, age, size(row.size_bytes), row.branch or row.workspace or "-")
        )
    click.echo("\n".join(columns(table)))
    if not everything and not found:
        click.echo("aienv: nothing is running; aienv ps --all lists finished runs", err=True)


@click.command()
@click.argument("run", default="last")
@json_option
def show_command(run: str, as_json: bool) -> None:
    """Show RUN (an id, the beginning of one, or "last")."""
    from orchestrator.run.folder import find
    from orchestrator.run.listing import read_json, row

    finish_interrupted(quiet=as_json)
    folder = find(paths(), run)
    facts, report, plan = row(folder), read_json(folder.report), read_json(folder.plan)
    if as_json:
        print_json({"run": asdict(facts), "report": report, "plan": plan})
        return
    for name, value in asdict(facts).items():
        click.echo(f"{name + ':':<12} {printable(str(value))}")
    for line in _report_lines(report) if report else ():
        click.echo(printable(line))


def _report_lines(report: dict[str, Any]) -> list[str]:
    lines = []
    if report["error"]:
        lines += [f"error:       {report['error']['message']}", f"remedy:      {report['error']['remedy'] or '-'}"]
    lines += [f"changed:     {file['status']} {file['path']}" for file in report["result"]["changed_files"][:50]]
    lines += [f"check:       {check['exit_code']} {check['command']}" for check in report["checks"]]
    lines += [f"verify:      {one['exit_code']} {one['command']} (run {one['run']})" for one in report.get("verify", ())]
    lines += [f"phase:       {phase} {seconds:.3f} s" for phase, seconds in report["timings"].items()]
    return lines + [f"note:        {note}" for note in report["notes"]]


@click.command()
@click.argument("run", default="last")
@click.option("--follow", "-f", is_flag=True, help="Go on until the run ends.")
@json_option
def logs_command(run: str, follow: bool, as_json: bool) -> None:
    """Print what the agent of RUN wrote, byte by byte."""
    from orchestrator.run.folder import find, is_owned

    folder = find(paths(), run)
    if as_json:
        data = folder.agent_log.read_bytes() if folder.agent_log.exists() else b""
        print_json({"run": folder.id, "log": data.decode("utf-8", "backslashreplace"), "bytes": len(data)})
        return
    position = 0
    while True:
        over = not follow or not is_owned(folder)
        position = _copy_log(folder.agent_log, position)
        if over:
            return
        time.sleep(FOLLOW_POLL_S)


def _copy_log(path: os.PathLike[str], position: int) -> int:
    if not os.path.exists(path):
        return position
    with open(path, "rb") as file:
        file.seek(position)
        while chunk := file.read(65536):
            sys.stdout.buffer.write(chunk)
            position += len(chunk)
    sys.stdout.buffer.flush()
    return position


@click.command()
@click.argument("run", required=False)
@json_option
def stop_command(run: str | None, as_json: bool) -> None:
    """Stop RUN: its agent gets TERM and a grace period, and its work is harvested as always. Without RUN: stop the dev container of the
    current folder."""
    from orchestrator.run.folder import find
    from orchestrator.run.listing import row

    if run is None:
        from orchestrator.cli.devcontainer import Given

        raise click.exceptions.Exit(Given((), "STOP", command=False, own_codes=True).run(lambda given: given.call().stop()))
    folder = find(paths(), run)
    _stop(folder)
    finish_interrupted(quiet=as_json)
    facts = row(folder)
    if as_json:
        print_json(asdict(facts))
    else:
        click.echo(f"run {facts.id} {facts.state}" + (f", {facts.status}" if facts.status else ""))


def _stop(folder: RunFolder) -> None:
    """TERM to the owner, then wait until it has harvested and gone."""
    from orchestrator.run.folder import is_owned, owner_of

    owner = owner_of(folder)
    if owner is None:
        return
    if not owner.recovering:
        os.kill(owner.pid, signal.SIGTERM)
    end = time.monotonic() + STOP_DEADLINE_S
    while is_owned(folder):
        if time.monotonic() > end:
            raise AienvError(f"run {folder.id} does not end", remedy=f"kill -9 {owner.pid}, then: aienv gc", code="stop")
        time.sleep(FOLLOW_POLL_S)


@click.command()
@click.argument("runs", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Stop it first when it still runs, and discard a workspace whose harvest failed.")
@json_option
def rm_command(runs: tuple[str, ...], force: bool, as_json: bool) -> None:
    """Remove RUNS: their folders, workspaces and refs/aienv refs. Result branches stay."""
    from orchestrator.recovery.remove import remove_run
    from orchestrator.run.folder import find, is_owned

    finish_interrupted(quiet=as_json)
    removed = []
    for name in runs:
        folder = find(paths(), name)
        if is_owned(folder):
            if not force:
                raise EnvironmentFailed(
                    f"run {folder.id} still runs", remedy=f"aienv stop {folder.id}, or aienv rm --force {folder.id}", code="running"
                )
            _stop(folder)
        removed.append(folder.id)
        remove_run(paths(), folder, os.environ, discard=force)
    if as_json:
        print_json({"removed": removed})
    else:
        click.echo(f"removed {', '.join(removed)}")


@click.command(epilog="\b\nExamples:\n  aienv gc --dry-run\n  aienv gc --older-than 7d --keep-size 5g")
@click.option("--older-than", metavar="TIME", default="30d", show_default=True, help="Remove folders of finished runs older than this.")
@click.option("--keep-size", metavar="SIZE", help="Then remove the oldest until the run folders fit in this.")
@click.option("--caches", is_flag=True, help="Mirrors, toolboxes and agents that nothing has used for that time, too.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and do nothing.")
@json_option
def gc_command(older_than: str, keep_size: str | None, caches: bool, dry_run: bool, as_json: bool) -> None:
    """Finish interrupted runs, remove what they left, and free space."""
    from orchestrator.recovery.gc import collect, parse_age, parse_size

    limit = parse_size(keep_size) if keep_size else None
    done = collect(paths(), os.environ, parse_age(older_than), limit, caches, dry_run, quiet=as_json)
    if as_json:
        print_json(asdict(done))
        return
    would = "would be " if dry_run else ""
    for run_id in done.finished:
        click.echo(f"run {run_id} {would}finished")
    for what in (*done.environments, *done.folders, *done.caches):
        click.echo(f"{printable(what)} {would}removed")
    click.echo(f"{plural(len(done.folders), 'run folder')} {would}removed, {size(done.freed_bytes)} {would}freed")
    for problem in done.problems:
        click.echo(f"aienv: {printable(problem)}", err=True)
    if done.problems:
        raise EnvironmentFailed("not everything could be removed", remedy="see above; then aienv gc again", code="left")
