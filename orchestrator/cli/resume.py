"""``aienv resume``: a new environment with the result of a run, where its agent goes on with its own session."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.common import finish_interrupted, json_option, paths
from orchestrator.cli.run import carry_out, read_prompt
from orchestrator.errors import NotFound, UsageError

if TYPE_CHECKING:
    from orchestrator.model.agent import Native
    from orchestrator.model.plan import Plan

# The agent chose the name, and it becomes a word of a command line: no option, no blank.
_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,199}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40,64}", re.ASCII)


@click.command()
@click.argument("run", default="last")
@click.argument("prompt", required=False)
@click.option("--prompt-file", metavar="FILE", help="The prompt from a file; -: from standard input.")
@click.option("--interactive", "-i", is_flag=True, help="The agent's own interface on this terminal.")
@click.option("--stream", is_flag=True, help="With --json: what the agent does as JSON lines, before the report in one line.")
@json_option
@click.option("--quiet", "-q", is_flag=True, help="No phase lines and no summary.")
def resume_command(
    run: str, prompt: str | None, prompt_file: str | None, interactive: bool, stream: bool, as_json: bool, quiet: bool
) -> int:
    """Go on where the agent of RUN stopped: its own session, on top of its result, at the same path.

    PROMPT is what it is told next. The new run has its own id, branch and report; all else is as the first one was planned: network,
    limits, credentials, checks, what the agent is told not to do.
    """
    from orchestrator.report.progress import Progress
    from orchestrator.run.resume import Next, go_on
    from orchestrator.run.terminal import require_terminal

    if prompt_file is not None:
        prompt = read_prompt(prompt_file)
    if prompt is None and not interactive:
        raise UsageError("the agent is told nothing", remedy=f"aienv resume {run} 'what to do next', or --interactive")
    if stream and not as_json:
        raise UsageError("--stream writes JSON lines", remedy="add --json")
    if interactive:
        require_terminal()
    progress = Progress(quiet)
    finish_interrupted(quiet)
    native, plan, commit = _earlier(run)
    prepared = go_on(plan, Next(native, prompt, interactive, commit), paths(), os.environ, progress)
    return carry_out(prepared, progress, as_json, stream, quiet)


def _earlier(run: str) -> tuple[Native, Plan, str | None]:
    """The session of a run's agent, what that run was planned as, and the commit that it came to.

    Raises:
        NotFound: there is no report, no session, or no result that this repository still has.
    """
    from orchestrator.model.agent import Native
    from orchestrator.model.codec import from_plain
    from orchestrator.model.plan import Plan
    from orchestrator.run.agent import session_of
    from orchestrator.run.folder import SESSIONS_FOLDER, find, is_owned

    folder = find(paths(), run)
    try:
        report = json.loads(folder.report.read_bytes())
        plan = from_plain(Plan, json.loads(folder.plan.read_bytes()))
    except (OSError, ValueError, RecursionError) as problem:
        busy = is_owned(folder)
        remedy = "it is at work or being finished: try again when aienv ps no longer shows it" if busy else "aienv ps --all lists the runs"
        raise NotFound(f"run {folder.id} has no report that can be read", remedy=remedy) from problem
    report = report if isinstance(report, dict) else {}
    session = session_of(report)
    if session is None or not (folder.run / SESSIONS_FOLDER).is_dir():
        raise NotFound(f"run {folder.id} has no session of an agent to go on with", remedy="aienv run --agent NAME starts one")
    if not _SESSION.fullmatch(session):
        message = f"the agent of run {folder.id} gave its session a name that is none: {session[:80]!a}"
        raise NotFound(message, remedy="run the task again: aienv run")
    if plan.repo.kind != "path":
        message = f"the result of run {folder.id} is a bundle, for its repository is remote"
        raise NotFound(message, remedy=f"clone it, git fetch {folder.run}/result.bundle, and run the task in the clone")
    return Native(folder.id, session), plan, _commit(report)


def _commit(report: dict[str, Any]) -> str | None:
    """Of the result, else where the run began."""
    result = report.get("result")
    found = (result.get("commit") if isinstance(result, dict) else None) or report.get("base_commit")
    return found if isinstance(found, str) and _COMMIT.fullmatch(found) else None
