"""``aienv box``: an agent in this terminal, on this project as it lies here; what it did is in the files afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.common import finish_interrupted, here, json_option, paths, print_json
from orchestrator.cli.run import flags_of, task_options
from orchestrator.errors import AienvError, HarvestFailed, NotFound, UsageError
from orchestrator.report.text import plural, printable

if TYPE_CHECKING:
    from orchestrator.harvest.putback import PutBack
    from orchestrator.model.report import RunRecord
    from orchestrator.run.planning import Prepared

SESSION_S = 12 * 3600.0  # where nobody set a limit: somebody sits before it
_OURS = {  # what a box says itself
    "key_agent": "--agent", "key_ref": "--ref", "key_tty": "--tty", "key_with_changes": "--with-changes", "key_agent_args": "--agent-arg",
}  # fmt: skip


@click.command(
    context_settings={"allow_interspersed_args": False},
    options_metavar="[OPTIONS]",
    epilog="\b\nExamples:\n  aienv box claude\n  aienv box --network none command -- bash\n  aienv shim install claude && claude-box",
)
@click.argument("agent")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@task_options
@json_option
@click.option("--quiet", "-q", is_flag=True, help="No phase lines and no summary.")
def box_command(agent: str, args: tuple[str, ...], as_json: bool, quiet: bool, **options: Any) -> int:
    """Start AGENT in this terminal, on this project with its uncommitted changes; ARGS are the agent's own.

    It works on a copy. At its end what it did is put into your files as uncommitted changes, and its commits are on a branch; what you had
    staged stays staged. A file that you changed meanwhile, and the agent too, keeps all of it out, and the branch has it.
    """
    from orchestrator.harvest.deliver import undeliver
    from orchestrator.harvest.putback import remember
    from orchestrator.report.build import exit_code, report_document
    from orchestrator.report.progress import Progress, warn
    from orchestrator.report.summary import summary_lines
    from orchestrator.run.agent_work import Streams
    from orchestrator.run.execute import execute
    from orchestrator.run.folder import new_run_id
    from orchestrator.run.planning import Asked, prepare

    for key, option in _OURS.items():
        if options[key]:
            raise UsageError(f"{option} is not for aienv box", remedy="aienv box [OPTIONS] AGENT [ARGS...] works on what is checked out")
    words = args[1:] if args[:1] == ("--",) else args
    terminal = sys.stdin.isatty() and sys.stdout.isatty() and not as_json
    if agent == "command" and not words:
        raise UsageError("there is no command", remedy="aienv box command -- COMMAND [ARG...]")
    if agent != "command" and not terminal:
        remedy = f"without one: aienv run --with-changes --agent {agent} 'PROMPT'"
        raise UsageError("aienv box needs a terminal", remedy=remedy, code="no-terminal")
    own: dict[str, object] = {"agent": agent, "with_changes": True, "tty": terminal}
    own |= {"agent_args": list(words)} if words and agent != "command" else {}
    asked = Asked(None, words if agent == "command" else (), {**flags_of(options), **own}, here())
    progress = Progress(quiet)
    finish_interrupted(quiet)
    try:
        prepared = for_a_session(prepare(asked, paths(), os.environ, progress))
    except NotFound as problem:
        if "no git repository" in problem.message:
            problem.remedy = "aienv box works on a repository: git init, or go to one"
        raise
    for warning in prepared.warnings if not quiet else ():
        warn(warning)
    assert prepared.changes is not None
    run_id = new_run_id(time.time())
    before = remember(prepared.changes, prepared.plan.sandbox, run_id)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: None)  # the run listens while it lasts; after it the files are put in order
    streams = Streams(stdout=2 if as_json else 1, stderr=2, quiet=False, tty=terminal)
    try:
        record = execute(prepared, paths(), os.environ, progress, streams, run_id)
    except AienvError:
        undeliver(prepared.changes.root, run_id)  # there is no run that the kept state belongs to
        raise
    done, problem_of_files = _put_back(prepared, record, before)
    with contextlib.suppress(OSError):
        if as_json:
            told = asdict(done) if done is not None else None
            failed = problem_of_files.as_json() if problem_of_files is not None else None
            print_json({**report_document(record), "work_tree": {"put_back": told, "error": failed}})
        if not quiet:
            lines = [*summary_lines(record), *map(printable, work_tree_lines(record, done, problem_of_files))]
            sys.stderr.writelines(f"aienv: {line}\n" for line in lines)
            sys.stderr.flush()
    code = exit_code(record)
    return problem_of_files.exit_code if problem_of_files is not None and code == 0 else code


def for_a_session(prepared: Prepared) -> Prepared:
    """A limit of time that is nobody's wish does not end what somebody sits before."""
    from orchestrator.model.codec import digest

    plan = prepared.plan
    if not plan.agent.tty or prepared.loaded is None or prepared.loaded.settings["limits.timeout"].layer != "built-in":
        return prepared
    longer = replace(plan, limits=replace(plan.limits, timeout_s=max(SESSION_S, plan.limits.timeout_s)))
    return replace(prepared, plan=longer, plan_digest=digest(longer))


def _put_back(prepared: Prepared, record: RunRecord, before: str) -> tuple[PutBack | None, AienvError | None]:
    from orchestrator.harvest.putback import put_back

    harvest, delivery, plan = record.harvest, record.delivery, prepared.plan
    if harvest is None or harvest.commit is None or delivery is None:
        return None, None  # the run says why
    try:
        return put_back(Path(plan.repo.location), plan.repo.commit, before, harvest.commit, delivery.branch), None
    except AienvError as problem:
        wanted = delivery.branch or harvest.commit
        # Not --3way: that refuses every file with unstaged work in it.
        by_hand = f"git diff --binary refs/aienv/{record.id}/before {wanted} | git apply --reject"
        problem.remedy = f"{problem.remedy}; by hand: {by_hand}" if problem.remedy else by_hand
        return None, problem if isinstance(problem, HarvestFailed) else HarvestFailed(problem.message, remedy=problem.remedy)


def work_tree_lines(record: RunRecord, done: PutBack | None, problem: AienvError | None) -> list[str]:
    """What became of the user's files."""
    if problem is not None:
        return [f"error   {problem.message}", f"remedy  {problem.remedy}"]
    if done is None:
        return []
    if not done.files:
        lines = ["files   as they were"]
    else:
        lines = [f"files   {plural(len(done.files), 'file')} changed, uncommitted; to compare: git diff refs/aienv/{record.id}/before"]
    return lines + [f"kept    {path}: the agent removed or ignored it, and it was never committed" for path in done.stayed]
