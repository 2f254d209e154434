"""The command line's frame: which commands there are, how errors are shown, what the exit code is.

Only ``click`` is imported here; a command's own module, with all that it needs, is imported when it is called.
"""

import importlib
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

import orchestrator
from orchestrator.errors import AienvError, UsageError
from orchestrator.report.text import printable

# name -> (module, one line of help); the order is the one that --help shows.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("orchestrator.cli.run", "Run one task in a place that is thrown away afterwards."),
    "resume": ("orchestrator.cli.resume", "Go on where the agent of a run stopped, with its own session."),
    "plan": ("orchestrator.cli.run", "Show what a run would do, and stop."),
    "box": ("orchestrator.cli.box", "Start an agent in this terminal, on this project as it lies here."),
    "shim": ("orchestrator.cli.shim", "Install claude-box, codex-box...: short names of aienv box."),
    "ps": ("orchestrator.cli.runs", "List the runs."),
    "show": ("orchestrator.cli.runs", "Show one run."),
    "logs": ("orchestrator.cli.runs", "Print what the agent of a run wrote."),
    "diff": ("orchestrator.cli.results", "Print the result of a run as a patch."),
    "apply": ("orchestrator.cli.results", "Put the result of a run, staged, into your work tree."),
    "stop": ("orchestrator.cli.runs", "Stop a run, its work is harvested; or the dev container of this folder."),
    "rm": ("orchestrator.cli.runs", "Remove a run and what is left of it."),
    "gc": ("orchestrator.cli.runs", "Finish what was interrupted, and free space."),
    "doctor": ("orchestrator.cli.doctor", "Check what this machine offers, and say what to do."),
    "images": ("orchestrator.cli.images", "Build, list and remove our images."),
    "agents": ("orchestrator.cli.agents", "List, test, update and add agents."),
    "config": ("orchestrator.cli.config", "Show the configuration and where each value comes from."),
    "policy": ("orchestrator.cli.policy", "Suggest the network rules that a run would have needed."),
    "up": ("orchestrator.cli.places", "Make the dev container of a folder, and prepare it."),
    "exec": ("orchestrator.cli.places", "Run a command in the dev container of a folder."),
    "down": ("orchestrator.cli.places", "Remove the dev container of a folder."),
    "prebuild": ("orchestrator.cli.prebuilds", "Make, list and remove images with a dev container's first hooks behind them."),
    "guard": ("orchestrator.cli.guard", "Serve a guarded Docker socket by itself; explain what was refused."),
    "devcontainer": ("orchestrator.cli.devcontainer", "Take the command lines of the reference dev container CLI."),
    "templates": ("orchestrator.cli.templates", "List templates of dev containers, and put one into a project."),
    "init": ("orchestrator.cli.config", "Write a first task file."),
    "completion": ("orchestrator.cli.config", "Print a completion script for your shell."),
}
HIDDEN: dict[str, str] = {"recover": "orchestrator.cli.recover", "attempt": "orchestrator.cli.attempts"}

EXAMPLES = """
\b
Examples:
  aienv run -- make test                 run a command on a fresh clone of this repository
  aienv run --check 'pytest -q' -- ./fix let checks decide the exit code
  aienv run fix-parser --json            a task from .aienv/tasks/fix-parser.yaml, for a program to read
  aienv diff last | less                 look at the result
  aienv apply last                       put it, staged, into your work tree
"""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports them when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = COMMANDS[cmd_name][0] if cmd_name in COMMANDS else HIDDEN.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(importlib.import_module(module), f"{cmd_name}_command")
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and name not in HIDDEN and not name.startswith("-"):
            raise UsageError(f"unknown command {name!r}{_nearest(name)}", remedy="aienv --help lists the commands")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return 0  # our reader went away (aienv logs | head); Click would end with 1

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=LazyGroup, help="Throw-away places for AI coding agents.", epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(orchestrator.__version__, prog_name="aienv", message="%(prog)s %(version)s")
def command_line() -> None:
    """The root of all commands."""


def run_command_line(arguments: Sequence[str]) -> int:
    """Parse, run, and turn every error of ours into a message and an exit code."""
    try:
        return _run(arguments)
    finally:
        _let_go()


def _let_go() -> None:
    """What cannot be written any more, because the terminal or the reader is gone, must not change the exit code."""
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            if stream is not None:  # closed before we were started
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def _run(arguments: Sequence[str]) -> int:
    as_json = "--json" in _own_options(arguments)
    if home := os.environ.get("AIENV_HOME"):
        os.environ["AIENV_HOME"] = os.path.abspath(home)  # children run elsewhere
    try:
        result = command_line.main(args=list(arguments), prog_name="aienv", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as wrong:
        return _fail(UsageError(wrong.format_message(), remedy=_usage_remedy(wrong)), as_json)
    except AienvError as problem:
        return _fail(problem, as_json)
    except (KeyboardInterrupt, click.Abort):
        return 130


def _own_options(arguments: Sequence[str]) -> Sequence[str]:
    return arguments[: list(arguments).index("--")] if "--" in arguments else arguments


def _usage_remedy(wrong: click.ClickException) -> str | None:
    context = getattr(wrong, "ctx", None)
    return f"{context.command_path} --help" if context is not None else None


def _fail(problem: AienvError, as_json: bool) -> int:
    if as_json:
        status = "refused" if problem.exit_code == 4 else "error"
        document: dict[str, Any] = {"schema": "aienv.error/1", "status": status, "error": problem.as_json()}
        sys.stdout.write(json.dumps(document, sort_keys=True) + "\n")
    sys.stdout.flush()
    for text in (problem.message, problem.remedy or ""):
        # Names from a repository stand in messages: they must not drive the user's terminal.
        sys.stderr.writelines(f"aienv: {printable(line)}\n" for line in text.split("\n") if line)
    return problem.exit_code


def _nearest(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, list(COMMANDS), n=1)
    return f", perhaps {close[0]!r}?" if close else ""
