"""``aienv run --attempts N``: the same plan several times, the best result first."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.common import paths, print_json
from orchestrator.errors import AienvError, UsageError
from orchestrator.report.progress import Progress
from orchestrator.report.text import columns

if TYPE_CHECKING:
    from orchestrator.run.attempts import PatchFacts
    from orchestrator.run.children import Ended
    from orchestrator.run.planning import Prepared

RECOVERY_WAIT_S = 120.0


def attempt(prepared: Prepared, count: int, parallel: int | None, as_json: bool, quiet: bool, progress: Progress) -> int:
    """Carry ``prepared`` out ``count`` times; the exit code.

    Raises:
        UsageError: it cannot be had several times.
    """
    from orchestrator.report.text import duration
    from orchestrator.repos.carry import snapshot
    from orchestrator.repos.scratch import scratch
    from orchestrator.run.attempts import PARALLEL, Handed, attempt_plans, document, ended_words, exit_code, ranked, row, table
    from orchestrator.run.children import Child, work_off
    from orchestrator.run.folder import new_run_id
    from orchestrator.run.interrupts import Interrupts

    plans = attempt_plans(prepared.plan, count)
    source = prepared.mirror.source
    assert source is not None
    interrupts = Interrupts()

    def ended(one: Ended) -> None:
        report = one.document or {}
        progress.say(ended_words(one.child.number, count, row(one.child.number, one.child.run_id, report, None)))

    with interrupts.installed(), scratch("attempts") as folder:
        (folder / "changes").mkdir()
        changes = snapshot(prepared.changes, folder / "changes") if prepared.changes is not None else None
        ids = _ids(count, new_run_id)
        children = [Child(number, ids[number - 1], Handed(plan, source, changes)) for number, plan in enumerate(plans, start=1)]
        progress.say(f"{count} attempts at {prepared.plan.task}, {min(parallel or PARALLEL, count)} at a time")
        over = work_off(
            children,
            min(parallel or PARALLEL, count),
            folder,
            interrupts,
            lambda child: progress.say(f"attempt {child.number} of {count} ({child.run_id}): started"),
            ended,
        )
        reports = [_report(one) for one in over]
    facts = {one.child.number: _patch_facts(report) for one, report in zip(over, reports, strict=True)}
    rows = ranked(
        [row(one.child.number, one.child.run_id, report, facts[one.child.number]) for one, report in zip(over, reports, strict=True)],
        {number: found.digest for number, found in facts.items() if found is not None},
    )
    interrupted = interrupts.count > 0
    with contextlib.suppress(OSError):  # a reader that went away changes nothing about how they ended
        if as_json:
            print_json(document(prepared.plan, rows, reports, interrupted))
        elif not quiet and rows:
            sys.stdout.write("\n".join(columns(table(rows))) + "\n")
            sys.stdout.flush()
    if not quiet and not as_json:
        _tell(rows[0].run if rows and rows[0].succeeded else None, over, reports, duration(progress.total()["total"]))
    return exit_code(rows, [one.code for one in over], interrupted)


def _ids(count: int, new: Any) -> list[str]:
    """Different ones: three characters of chance are few for one moment."""
    found: dict[str, None] = {}
    while len(found) < count:
        found.setdefault(new(time.time()))
    return sorted(found)


def _tell(best: str | None, over: Sequence[Ended], reports: Sequence[Mapping[str, Any]], total: str) -> None:
    """The last lines: what could not be made and why, and what to do next."""
    from orchestrator.report.text import printable

    for one, report in zip(over, reports, strict=True):
        if error := report.get("error"):
            sys.stderr.write(f"aienv: attempt {one.child.number}: {printable(error['message'])}\n")
    if best is not None:
        sys.stderr.write(f"aienv: {len(over)} attempts in {total}; look at the best: aienv diff {best}; take it: aienv apply {best}\n")
    else:
        sys.stderr.write(f"aienv: {len(over)} attempts in {total}, none succeeded\n")
    sys.stderr.flush()


def _report(one: Ended) -> dict[str, Any]:
    """What an attempt told; what its recovery tells, where it was killed; else the error in its place."""
    if one.document is not None:
        return one.document
    from orchestrator.recovery.recover import recover
    from orchestrator.run.folder import run_folder
    from orchestrator.run.listing import read_json

    folder = run_folder(paths(), one.child.run_id)
    if folder.mark.exists():
        recover(paths(), one.child.run_id, os.environ, Progress(quiet=True), wait_s=RECOVERY_WAIT_S)
    if (report := read_json(folder.report)) is not None:
        return report
    message = f"the process of the attempt ended with {one.code}"
    error = AienvError(f"{message}: {one.said.strip()[-400:]}" if one.said.strip() else message, code="attempt").as_json()
    status = "interrupted" if one.code in (-signal.SIGTERM, 130) else "error"
    return {"schema": "aienv.error/1", "id": one.child.run_id, "status": status, "error": error}


def _patch_facts(report: Mapping[str, Any]) -> PatchFacts | None:
    from orchestrator.run.attempts import patch_facts

    name = (report.get("result") or {}).get("patch")
    if name is None:
        return None
    try:
        with Path(name).open("rb") as patch:
            return patch_facts(patch)
    except OSError:
        return None


@click.command(hidden=True)
@click.argument("run_id")
def attempt_command(run_id: str) -> int:
    """Carry out the plan that is a line of JSON on standard input, as the run RUN_ID. The end of that input is a wish to stop."""
    from orchestrator.model.codec import digest
    from orchestrator.report.build import exit_code, report_document
    from orchestrator.repos.mirror import Mirror
    from orchestrator.run.attempts import parse_handed
    from orchestrator.run.execute import NOWHERE, execute
    from orchestrator.run.planning import taken_up

    try:
        handed = parse_handed(json.loads(sys.stdin.buffer.readline()))
    except (ValueError, KeyError, TypeError) as problem:
        raise UsageError(f"no plan on standard input: {problem}", remedy="this command is for aienv run --attempts") from problem
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: None)  # heard while the run lasts; afterwards its report must not be cut
    threading.Thread(target=_follow, daemon=True).start()
    mirror = Mirror(paths().mirrors, handed.plan.repo.mirror, handed.source)
    prepared = taken_up(handed.plan, digest(handed.plan), mirror, handed.changes, paths(), os.environ)
    record = execute(prepared, paths(), os.environ, Progress(quiet=True), NOWHERE, run_id)
    print_json(report_document(record))
    return exit_code(record)


def _follow() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
