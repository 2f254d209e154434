"""``aienv run`` and ``aienv plan``."""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orchestrator.cli.common import finish_interrupted, here, json_option, paths, print_json
from orchestrator.errors import UsageError

PROMPT_BYTES = 1 << 20  # more than a word of a command line may have: that is told by whoever reads the key
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DEFAULT_SOCKET = "/var/run/docker.sock"

if TYPE_CHECKING:
    from orchestrator.report.progress import Progress
    from orchestrator.run.planning import Prepared

F = TypeVar("F", bound=Callable[..., Any])

# option -> (key of the configuration, help). The order is the one of --help; a flag that repeats becomes a list.
_TEXT: dict[str, tuple[str, str, str]] = {
    "--repo": ("repo", "PATH|URL", "Repository; default: the one around the current folder."),
    "--ref": ("ref", "REF", "Branch, tag or commit; default: what is checked out."),
    "--agent": ("agent", "NAME", "Which agent: claude, codex, opencode, gemini...; aienv agents ls. Default: command."),
    "--model": ("model", "NAME", "Which model, as the agent itself names it."),
    "--permission-mode": ("permission_mode", "MODE", "What the agent asks before it acts: bypass (nothing), auto, ask, plan."),
    "--backend": ("backend", "auto|docker|local", "Where to run; auto takes Docker when an engine answers."),
    "--image": ("environment.image", "REF", "Container image to run in."),
    "--template": ("environment.template", "NAME", "Template to run in."),
    "--devcontainer": ("environment.devcontainer", "auto|none|PATH", "devcontainer.json to run in; auto: in its usual place."),
    "--docker": ("docker", "MODE", "Docker access inside: auto, none, readonly, guarded, full."),
    "--network": ("network.mode", "MODE", "none, allowlist, learn, open."),
    "--git-ssh": ("git.ssh", "HOST", "The one host that your ssh agent signs for."),
    "--cpus": ("limits.cpus", "N", "Processors."),
    "--memory": ("limits.memory", "SIZE", "Memory, such as 4g."),
    "--pids": ("limits.pids", "N", "Processes and threads."),
    "--disk": ("limits.disk", "SIZE", "Disk space of the workspace."),
    "--timeout": ("limits.timeout", "TIME", "Wall time of the agent, such as 30m; its work is harvested."),
    "--idle-timeout": ("limits.idle", "TIME", "How long the agent may say nothing."),
    "--max-cost": ("limits.cost", "USD", "US dollars that the agent may spend, by its own account."),
    "--max-turns": ("limits.turns", "N", "Answers of the model."),
    "--branch": ("output.branch", "NAME", "Name of the result branch."),
    "--require-isolation": ("require_isolation", "LEVEL", "any, sandbox, container: fail rather than run with less."),
}
_LISTS: dict[str, tuple[str, str, str]] = {
    "--grant": ("devcontainer.grants", "WORD", "What devcontainer.json may have, such as network:build (repeats)."),
    "--allow-image": ("guard.images", "REF", "Let the agent's containers use image REF, see docs/docker.md (repeats)."),
    "--allow-host": ("network.allow", "HOST", "Let the agent reach HOST, HOST:PORT or 'GET HOST/PATH' (repeats)."),
    "--deny-host": ("network.deny", "HOST", "Never let it reach HOST (repeats)."),
    "--preset": ("network.presets", "NAME", "A group of hosts, such as pip, npm, apt, github or anthropic (repeats)."),
    "--allow-private": ("network.private", "CIDR", "Addresses that allowed names may have although not public (repeats)."),
    "--secret": ("secrets", "NAME[=SOURCE]", "A credential by name; SOURCE: env://, file://, cmd://, keyring:// (repeats)."),
    "--setup-secret": ("setup_secrets", "NAME[=SOURCE]", "A credential of the setup commands (repeats)."),
    "--secret-host": ("secret_hosts", "NAME=HOST", "Where a credential may go (repeats)."),
    "--git-read": ("git.read", "HOST/PATH", "A private repository that git may read (repeats)."),
    "--git-push": ("git.push", "HOST/PATH", "The same, and push to aienv/* branches (repeats)."),
    "--agent-arg": ("agent_args", "WORD", "A word of the agent's own command line (repeats)."),
    "--agent-file": ("agent_files", "PATH@sha256:HEX", "A file of the repository that the agent may take, such as .mcp.json (repeats)."),
    "--deny-run": ("deny.run", "COMMAND", "A command that the agent's tools are told not to run, such as 'git push' (repeats)."),
    "--mcp-config": ("mcp", "PATH", "Your own MCP configuration; its servers are carried in (repeats)."),
    "--setup": ("setup", "COMMAND", "Run before the agent; its failure ends the run (repeats)."),
    "--env": ("env", "NAME=VALUE", "A variable inside (repeats)."),
    "--check": ("checks", "COMMAND", "Run after the agent; its failure fails the run (repeats)."),
    "--verify": ("verify", "COMMAND", "Run in a clean environment that has the result only; its failure fails the run (repeats)."),
    "--artifact": ("artifacts", "GLOB", "Files to bring out besides the branch (repeats)."),
}
_SWITCHES: dict[str, tuple[str, str]] = {
    "--with-changes": ("with_changes", "Carry uncommitted changes in."),
    "--push": ("output.push", "Push the result branch to the remote."),
    "--keep": ("keep", "Keep the workspace afterwards (aienv rm removes it)."),
    "--tty": ("tty", "Give the agent this terminal."),
}


class TaskCommand(click.Command):
    """What stands behind ``--`` is the agent's command line and none of ours."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta["aienv.command"] = tuple(args[at + 1 :])
            if not ctx.meta["aienv.command"]:
                raise UsageError("there is no command after --", remedy="aienv run -- COMMAND [ARG...]")
            args = args[:at]
        return super().parse_args(ctx, args)


def task_options(function: F) -> F:
    """All options of the tables above, in their order."""
    switches = [click.option(option, _name(key), is_flag=True, default=None, help=text) for option, (key, text) in _SWITCHES.items()]
    lists = [click.option(option, _name(key), multiple=True, metavar=meta, help=text) for option, (key, meta, text) in _LISTS.items()]
    texts = [click.option(option, _name(key), metavar=meta, help=text) for option, (key, meta, text) in _TEXT.items()]
    for option in reversed([*texts, *lists, *switches]):
        function = option(function)
    return function


def _name(key: str) -> str:
    return "key_" + key.replace(".", "__")


def flags_of(options: dict[str, Any]) -> dict[str, object]:
    given = {name: value for name, value in options.items() if value is not None and value != ()}
    return {
        name.removeprefix("key_").replace("__", "."): list(value) if isinstance(value, tuple) else value for name, value in given.items()
    }


def _heard(_number: int, _frame: FrameType | None) -> None:
    """There is nothing to interrupt any more."""


_RUN_EPILOG = """
\b
Examples:
  aienv run -- make test
  aienv run --backend local --timeout 10m -- ./agent.sh "fix the parser"
  aienv run --repo https://example.org/app.git --ref v2 --check 'make test' -- ./fix
  aienv run --with-changes --json -- npm run lint:fix

\b
TASK is a task file, a name under .aienv/tasks/, or (with blanks in it) the prompt.
Exit codes: 0 done, 1 the agent or a check failed, 2 usage, 3 environment, 4 policy,
5 no backend, 6 not found, 7 harvest failed, 124 timeout, 125 our own error, 130 interrupted.
"""


def _warm_up(backend: str | None) -> None:
    """Load Docker's library side by side with the first git commands, where an engine is likely to be used."""
    if backend == "docker" or (backend in (None, "auto") and ("DOCKER_HOST" in os.environ or os.path.exists(DEFAULT_SOCKET))):
        from orchestrator.backends.docker import warm

        threading.Thread(target=warm, name="warm-up", daemon=True).start()


@click.command(cls=TaskCommand, epilog=_RUN_EPILOG, options_metavar="[OPTIONS]")
@click.argument("task", required=False, metavar="[TASK] [-- COMMAND...]")
@task_options
@click.option("--attempts", type=click.IntRange(1, 20), metavar="N", help="N times the same, and the best first: docs/attempts.md.")
@click.option("--parallel", type=click.IntRange(1, 20), metavar="N", help="How many attempts at a time; default: 2.")
@click.option("--prompt-file", metavar="FILE", help="The prompt from a file; -: from standard input.")
@click.option("--interactive", "-i", is_flag=True, help="The agent's own interface on this terminal; as --tty.")
@click.option("--stream", is_flag=True, help="With --json: what the agent does as JSON lines, before the report in one line.")
@json_option
@click.option("--quiet", "-q", is_flag=True, help="No phase lines and no summary.")
@click.pass_context
def run_command(
    ctx: click.Context, /, task: str | None, attempts: int | None, parallel: int | None, prompt_file: str | None, interactive: bool,
    stream: bool, as_json: bool, quiet: bool, **options: Any,
) -> int:  # fmt: skip
    """Run one task in a place that is thrown away afterwards.

    The repository is cloned, the command runs isolated, the result comes back as a branch, everything else is removed.
    """
    from orchestrator.report.progress import Progress, warn
    from orchestrator.run.planning import Asked, prepare
    from orchestrator.run.terminal import require_terminal

    progress = Progress(quiet)
    flags = flags_of(options) | ({"tty": True} if interactive else {})
    if prompt_file is not None:
        flags["prompt"] = read_prompt(prompt_file)
    asked = Asked(task, ctx.meta.get("aienv.command", ()), flags, here())
    if parallel is not None and attempts is None:
        raise UsageError("--parallel is for attempts", remedy=f"aienv run --attempts {parallel} --parallel {parallel} ...")
    if stream and not as_json:
        raise UsageError("--stream writes JSON lines", remedy="add --json")
    if "tty" in flags:
        require_terminal()
    _warm_up(options["key_backend"])
    finish_interrupted(quiet)
    prepared = prepare(asked, paths(), os.environ, progress)
    for warning in prepared.warnings if not quiet else ():
        warn(warning)
    if attempts is not None:
        from orchestrator.cli.attempts import attempt

        return attempt(prepared, attempts, parallel, as_json, quiet, progress)
    return carry_out(prepared, progress, as_json, stream, quiet)


def read_prompt(place: str) -> str:
    """A prompt from a file, or from standard input.

    Raises:
        UsageError: it cannot be read, or is no text.
    """
    try:
        with contextlib.ExitStack() as undo:
            file = sys.stdin.buffer if place == "-" else undo.enter_context(open(place, "rb"))
            return file.read(PROMPT_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is no UTF-8 text"
        raise UsageError(f"the prompt cannot be read from {place}: {reason}", remedy="correct --prompt-file") from problem


def carry_out(prepared: "Prepared", progress: "Progress", as_json: bool, stream: bool, quiet: bool) -> int:
    """Run a plan, tell what came of it, and give the exit code."""
    from orchestrator.report.build import exit_code, report_document
    from orchestrator.report.summary import summary_lines
    from orchestrator.run.agent_work import Streams
    from orchestrator.run.execute import execute
    from orchestrator.run.folder import new_run_id

    streams = Streams(stdout=2 if as_json and not stream else 1, stderr=2, quiet=False, tty=prepared.plan.agent.tty, events=stream)
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _heard)  # the run listens while it lasts; after it one more ^C must not cut its report
    record = execute(prepared, paths(), os.environ, progress, streams, new_run_id(time.time()))
    with contextlib.suppress(OSError):  # a reader that went away changes nothing about how the run ended
        if as_json and stream:
            sys.stdout.write(json.dumps(report_document(record), sort_keys=True) + "\n")
            sys.stdout.flush()
        elif as_json:
            print_json(report_document(record))
    with contextlib.suppress(OSError):
        if not quiet:
            sys.stderr.writelines(f"aienv: {line}\n" for line in summary_lines(record))
            sys.stderr.flush()
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # Python's own end would give them back their deadly meaning
    return exit_code(record)


@click.command(cls=TaskCommand)
@click.argument("task", required=False, metavar="[TASK] [-- COMMAND...]")
@task_options
@json_option
@click.pass_context
def plan_command(ctx: click.Context, /, task: str | None, as_json: bool, **options: Any) -> int:
    """Show what a run would do, completely resolved, and stop.

    Two plans of the same inputs are the same bytes. Images of a dev container are built for it, and stay as a cache.
    """
    from orchestrator.model.codec import to_plain
    from orchestrator.report.plan_text import plan_lines
    from orchestrator.report.progress import Progress, warn
    from orchestrator.run.planning import Asked, prepare

    asked = Asked(task, ctx.meta.get("aienv.command", ()), flags_of(options), here())
    prepared = prepare(asked, paths(), os.environ, Progress(quiet=True))
    for warning in prepared.warnings:
        warn(warning)
    if as_json:
        sys.stdout.write(json.dumps({"digest": prepared.plan_digest, "plan": to_plain(prepared.plan)}, indent=1, sort_keys=True) + "\n")
    else:
        click.echo("\n".join(plan_lines(prepared.plan, prepared.plan_digest)))
    return 0
